//! What an issuer tells of itself (OpenID Connect Discovery), and which addresses are asked at all.

use serde::Deserialize;
use url::{Host, Url};

/// Where things are at an issuer.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
    /// Whether the client's secret goes into the body of a request; else into its head.
    pub takes_post: bool,
}

#[derive(Deserialize)]
struct Said {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// The address of an issuer's document.
pub(super) fn discovery(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// An address that nobody between can change: over TLS, or on this machine.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`{text}` is no URL: {e}"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(format!("`{text}` must begin with https:// unless it is on this machine"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave out the name before `@`".to_owned());
    }
    if url.fragment().is_some() {
        return Err("leave out what follows `#`".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Reads the document of this issuer.
pub(super) fn parse(text: &[u8], issuer: &str) -> Result<Document, String> {
    let said: Said = serde_json::from_slice(text).map_err(|e| format!("its document is another: {e}"))?;
    // Else whoever serves a document could name keys of their own for tokens of somebody else.
    if said.issuer != issuer {
        let short: String = said.issuer.chars().take(200).collect();
        return Err(format!("its document is of `{short}`; write `issuer` as it is there"));
    }
    let endpoint = |name: &str, text: &str| {
        let url = address(text).map_err(|says| format!("{name}: {says}"))?;
        match issuer.starts_with("https:") && url.scheme() != "https" {
            true => Err(format!("{name}: `{text}` must begin with https://")),
            false => Ok(url),
        }
    };
    let methods = &said.token_endpoint_auth_methods_supported;
    Ok(Document {
        authorization: endpoint("authorization_endpoint", &said.authorization_endpoint)?,
        token: endpoint("token_endpoint", &said.token_endpoint)?,
        keys: endpoint("jwks_uri", &said.jwks_uri)?,
        takes_post: methods.iter().any(|method| method == "client_secret_post"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_believed_of_its_own_issuer_and_of_safe_addresses() {
        let said = |change: serde_json::Value| {
            let mut all = json!({
                "issuer": "https://login.example/t", "authorization_endpoint": "https://login.example/a",
                "token_endpoint": "https://login.example/b", "jwks_uri": "https://keys.example/c",
            });
            let own = all.as_object_mut().unwrap();
            change
                .as_object()
                .unwrap()
                .iter()
                .for_each(|(name, value)| _ = own.insert(name.clone(), value.clone()));
            parse(all.to_string().as_bytes(), "https://login.example/t")
        };
        let good = said(json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] })).unwrap();
        assert!(good.takes_post && good.keys.as_str() == "https://keys.example/c");
        for (change, part) in [
            (json!({ "issuer": "https://login.example/other" }), "write `issuer` as it is there"),
            (json!({ "issuer": "https://login.example/t/" }), "write `issuer` as it is there"),
            (json!({ "jwks_uri": "http://keys.example/c" }), "jwks_uri"),
            (json!({ "jwks_uri": "http://127.0.0.1/c" }), "jwks_uri"),
            (json!({ "token_endpoint": "file:///etc/passwd" }), "token_endpoint"),
            (json!({ "authorization_endpoint": "javascript:alert(1)" }), "authorization_endpoint"),
            (json!({ "jwks_uri": 7 }), "another"),
        ] {
            let says = said(change.clone()).unwrap_err();
            assert!(says.contains(part), "{change}: {says}");
        }
        assert_eq!(discovery("https://a/t/"), "https://a/t/.well-known/openid-configuration");
    }
}
