//! Exports: somebody else's receivers, strict doubles of those that cannot be had, and what goes wrong with either.

mod broker;
mod daemons;
mod doubles;
mod receivers;
