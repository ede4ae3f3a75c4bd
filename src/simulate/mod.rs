//! A small simulated organisation whose truth is known, in the spellings Azure DevOps uses.
//!
//! What it emits has the shapes of `decode`'s inputs; which agent did what is known beforehand, so
//! that a demo, a test or a bench can compare.

mod audit;
mod world;

pub use audit::{SimEvent, Spelling, export_csv, page};
pub use world::{Plan, World};
