//! The road in over Event Hubs: from the simulated service into a lake, through every fault it knows.
//!
//! Each numbered trap of the client library that concerns a consumer has its test here, see `traps`.

mod blobs;
mod capture;
mod chaos;
mod forms;
mod processes;
mod rig;
mod smoke;
mod traps;
mod websocket;
