//! The list of walls is true: each text is there once, and each test that holds it exists. `tests/walls` takes
//! them away one by one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Walls {
    wall: Vec<Wall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wall {
    name: String,
    file: String,
    take: String,
    put: String,
    tests: Vec<String>,
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn every_wall_stands_where_the_list_says_and_has_a_test() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let list: Walls = toml::from_str(&read(&root.join("tests/walls.toml"))).unwrap();
    assert!(list.wall.len() > 60);
    let names: BTreeSet<&str> = list.wall.iter().map(|wall| wall.name.as_str()).collect();
    assert_eq!(names.len(), list.wall.len(), "two walls have one name");
    for wall in &list.wall {
        let Wall { name, file, take, put, tests } = wall;
        let count = read(&root.join(file)).matches(take).count();
        assert_eq!(count, 1, "{name}: its text is {count} times in {file}");
        assert!(take != put && !tests.is_empty(), "{name}");
        for test in tests {
            let (binary, path) = test.split_once(' ').unwrap();
            let folder = root.join(if binary == "it" { "tests/it" } else { "src" });
            let (module, function) = path.rsplit_once("::").unwrap();
            let module = module.trim_end_matches("::tests").replace("::", "/");
            let text =
                read(&folder.join(format!("{module}.rs"))) + &read(&folder.join(&module).join("mod.rs"));
            assert!(text.contains(&format!("fn {function}(")), "{name}: there is no test `{test}`");
        }
    }
}
