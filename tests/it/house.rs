//! Keeps the map true: layers, file sizes, first lines, purity of the core.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Module and layer. Imports go strictly downward, never sideways.
const LAYERS: &[(&str, u8)] = &[
    ("model", 0),
    ("decode", 1),
    ("attribute", 1),
    ("schema", 1),
    ("objects", 1),
    ("source", 2),
    ("store", 2),
    ("query", 2),
    ("export", 2),
    ("pipeline", 3),
    ("serve", 3),
    ("simulate", 3),
    ("settings", 4),
    ("cli", 4),
    ("app", 5),
];

const CORE: [&str; 4] = ["model", "decode", "attribute", "schema"];

/// What of `simulate` is not as pure as the core: what serves it, and what waits for those that are served.
const SERVES: [&str; 13] = [
    "rest.rs",
    "hubs/asks.rs",
    "hubs/entry.rs",
    "hubs/live.rs",
    "hubs/mod.rs",
    "hubs/namespace.rs",
    "hubs/plan.rs",
    "hubs/readers.rs",
    "hubs/refusal.rs",
    "hubs/senders.rs",
    "hubs/server.rs",
    "hubs/websocket.rs",
    "hubs/wire.rs",
];

/// Code lines of one file: most are far below, none is above.
const MOST_LINES: usize = 600;

struct File {
    path: PathBuf,
    module: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<File> {
    let src = root().join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(&src).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                let module = first.trim_end_matches(".rs").to_owned();
                files.push(File { text: std::fs::read_to_string(&path).unwrap(), path, module });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 20);
    files
}

/// The text without its inline tests and comments.
fn code(text: &str) -> String {
    let body = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    body.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn first_line(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn imports_go_strictly_downward() {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    // A file of tests may look anywhere: it is no part of the program.
    for file in sources().into_iter().filter(|f| !f.path.ends_with("tests.rs")) {
        let Some(own) = layers.get(file.module.as_str()) else {
            assert!(matches!(file.module.as_str(), "lib" | "main"), "{} is in no layer", file.module);
            continue;
        };
        for part in code(&file.text).split("crate::").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(other) = layers.get(name.as_str()) else {
                wrong.push(format!("{}: `crate::{name}` is in no layer", file.path.display()));
                continue;
            };
            if name != file.module && other >= own {
                wrong.push(format!(
                    "{}: {} (L{own}) imports {name} (L{other})",
                    file.path.display(),
                    file.module
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_imported_in_braces_from_the_root() {
    // `use crate::{a, b}` would hide edges from the check above.
    for file in sources() {
        assert!(!file.text.contains("use crate::{"), "{}", file.path.display());
    }
}

#[test]
fn files_stay_small_and_say_what_they_are_for() {
    for file in sources() {
        let lines = code(&file.text).lines().filter(|l| !l.trim().is_empty()).count();
        assert!(lines <= MOST_LINES, "{} has {lines} code lines", file.path.display());
        assert!(file.text.starts_with("//! "), "{} has no purpose in its first line", file.path.display());
        assert!(file.text.is_ascii(), "{} is not ASCII", file.path.display());
    }
}

#[test]
fn the_map_is_true() {
    let src = root().join("src");
    let lib = std::fs::read_to_string(src.join("lib.rs")).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for module in lib.lines().filter_map(|l| l.trim().strip_prefix("pub mod ")?.strip_suffix(';')) {
        let path = [src.join(format!("{module}.rs")), src.join(module).join("mod.rs")];
        let path = path.iter().find(|p| p.exists()).unwrap();
        let purpose = first_line(path).trim_start_matches("//! ").to_owned();
        let (_, layer) = LAYERS.iter().find(|(m, _)| *m == module).unwrap();
        let row = format!("| L{layer} | `{module}` | {purpose} |");
        assert!(lib.contains(&format!("//! {row}")), "lib.rs has no row `{row}`");
        assert!(readme.contains(&row), "README.md has no row `{row}`");
    }
    for (module, _) in LAYERS {
        assert!(lib.contains(&format!("pub mod {module};")), "lib.rs does not declare {module}");
    }
}

#[test]
fn the_core_touches_nothing_outside() {
    let banned = [
        "async ",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant",
        "println!",
        "eprintln!",
        "tracing",
        "tokio",
        "arrow::",
        "parquet::",
        "datafusion",
        "object_store",
    ];
    // What the simulated organisation says is as pure, and what its hubs keep.
    let simulate = root().join("src/simulate");
    let serves = SERVES.map(|file| simulate.join(file));
    assert!(serves.iter().all(|file| file.exists()), "SERVES names a file that is not there");
    let is_core =
        |f: &&File| CORE.contains(&f.module.as_str()) || f.module == "simulate" && !serves.contains(&f.path);
    for file in sources().iter().filter(is_core) {
        for word in banned {
            let code = code(&file.text);
            assert!(!code.contains(word), "{} uses `{word}`", file.path.display());
        }
    }
}

#[test]
fn the_simulated_hubs_touch_nothing_but_sockets() {
    // They know nothing of the rest, and whatever comes over the wire ends no thread.
    let banned = [
        "crate::",
        "std::fs",
        "std::env",
        "std::thread",
        "tokio::fs",
        "println!",
        ".unwrap()",
        ".expect(",
        "panic!",
        "unreachable!",
        "todo!",
        "unsafe",
    ];
    let hubs = root().join("src/simulate/hubs");
    for file in sources().iter().filter(|f| f.path.starts_with(&hubs)) {
        for word in banned {
            assert!(!code(&file.text).contains(word), "{} uses `{word}`", file.path.display());
        }
    }
}

#[test]
fn ports_do_not_see_each_other() {
    let ports = ["source", "store", "query"];
    for file in sources().iter().filter(|f| ports.contains(&f.module.as_str())) {
        for other in ports.iter().filter(|p| **p != file.module) {
            assert!(!code(&file.text).contains(&format!("crate::{other}")), "{}", file.path.display());
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line == "[dev-dependencies]";
        } else if inside && line.contains(" = ") {
            assert!(line.contains('#'), "no reason behind `{line}`");
        }
    }
}
