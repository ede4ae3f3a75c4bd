//! Other people's drivers of the postgres door: PgJDBC, psqlODBC, asyncpg.

use std::process::Command;

use super::postgres::{Door, text};
use crate::readers::python;

/// What `tests/run` found of a driver.
fn driver(variable: &str) -> Option<String> {
    let driver = std::env::var(variable).ok().filter(|driver| !driver.is_empty());
    if driver.is_none() {
        assert!(std::env::var("CI").is_err(), "CI allows no skip: run tests/run");
        println!("skipped: no {variable}; tests/run sets it up");
    }
    driver
}

/// The lines that a script prints, one for each thing that works.
async fn seen(mut command: Command) -> Vec<String> {
    let out = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_of_java_looks_around_asks_and_stops_what_it_asked() {
    let Some(jar) = driver("PEERS_JDBC") else { return };
    let door = Door::open(10, false).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/Jdbc.java");
    let mut command = Command::new("java");
    command.args(["-cp", &jar, script, &door.port.to_string(), "ada", "password of ada"]);
    let seen = seen(command).await;
    assert_eq!(seen.len(), 25, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncpg_with_its_pool_and_odbc_work() {
    let (Some(python), Some(odbc)) = (python(), driver("PEERS_ODBC")) else { return };
    let door = Door::open(10, false).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peer/drivers.py");
    let mut command = Command::new(python);
    command.args([script, &door.port.to_string(), "ada", "password of ada", &odbc]);
    let seen = seen(command).await;
    assert_eq!(seen.len(), 20, "{seen:?}");
}
