//! The audit events of a simulated organisation as a file.

use std::io::Write as _;
use std::path::Path;

use agentrail::simulate::{Spelling, World};

/// One event a line, as Event Grid spells it.
pub fn write_events(world: &World, path: &Path) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut line = Vec::new();
    for event in world.events() {
        line.clear();
        event.write(Spelling::EventGrid, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}
