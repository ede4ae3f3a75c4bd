//! The doors for people and tools.

mod commands;
mod http;
mod http_hostile;
mod http_scope;
mod http_tls;
pub mod open;
mod postgres;
