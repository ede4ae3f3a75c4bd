//! The doors for people and tools.

mod browser;
mod commands;
mod http;
mod http_hostile;
mod http_peers;
mod http_scope;
mod http_tls;
mod open;
mod postgres;
