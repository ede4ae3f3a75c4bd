//! Exports: somebody else's receivers, strict doubles of those that cannot be had, and what goes wrong with either.

mod broker;
mod chaos;
mod content;
mod daemons;
mod deliver;
mod doubles;
mod faults;
mod kinds;
mod receivers;
mod refused;
mod rig;
mod shapes;
