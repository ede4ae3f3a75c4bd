//! The doors for people and tools.

mod browser;
mod client_certificates;
mod commands;
mod drivers;
mod flight;
mod hostile;
mod hostile_list;
mod http;
mod http_hostile;
mod http_peers;
mod http_scope;
mod http_tls;
mod issuer;
mod oidc_api;
mod oidc_page;
mod oidc_peers;
mod oidc_postgres;
pub mod open;
mod postgres;
mod wire;
