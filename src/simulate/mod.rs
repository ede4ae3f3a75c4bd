//! A small simulated organisation whose truth is known, in the spellings Azure DevOps uses.
//!
//! What it emits has the shapes of `decode`'s inputs; which agent did what is known beforehand, so
//! that a demo, a test or a bench can compare.

mod actors;
mod answers;
mod audit;
#[cfg(feature = "io")]
pub mod hubs;
mod listed;
mod others;
mod present;
mod reach;
mod recorded;
#[cfg(feature = "io")]
mod rest;
mod trouble;
mod variety;
mod world;

pub use answers::{Manner, Moods, Reply, Request};
pub use audit::{SimEvent, Spelling, export_csv, page};
#[cfg(feature = "io")]
pub use rest::serve;
pub use world::{Plan, World};

/// The `number`-th id of a kind: the same in every world, and as hard to compress as a real one.
fn guid(kind: u64, number: usize) -> String {
    let seed = (kind << 48).wrapping_add(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (a, b) = (mix(seed), mix(seed ^ 0x5555_5555_5555_5555));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

/// The finaliser of SplitMix64, which spreads neighbours over all bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
