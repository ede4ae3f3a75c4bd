//! The doors for people and tools.

mod browser;
mod commands;
mod hostile;
mod hostile_list;
mod http;
mod http_hostile;
mod http_peers;
mod http_scope;
mod http_tls;
pub mod open;
mod postgres;
mod wire;
