//! The doors for people and tools.

mod client_certificates;
mod commands;
mod http;
mod http_hostile;
mod http_scope;
mod http_tls;
mod issuer;
mod oidc_api;
mod oidc_page;
mod oidc_peers;
mod oidc_postgres;
mod open;
mod postgres;
