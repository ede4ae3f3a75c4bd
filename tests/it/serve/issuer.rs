//! An issuer of tokens that the tests have in hand: it signs what it is told to, turns to other keys, goes away.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentrail::serve::Role;
use agentrail::serve::oidc::{Grant, Issuer, Settings};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const CLIENT: &str = "11d00000-0000-4000-8000-00000000c1d0";
pub const SECRET: &str = "what only the client & the issuer know";
pub const TENANT: &str = "7d000000-0000-4000-8000-0000000000d1";
pub const PAGE: &str = "https://audit.example";

/// A key that signs by ES256.
pub struct Key {
    pub id: String,
    pair: KeyPair,
}

impl Key {
    pub fn new(id: &str) -> Key {
        Key { id: id.to_owned(), pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    pub fn public(&self) -> Value {
        let point = self.pair.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..65]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y })
    }

    pub fn public_bytes(&self) -> Vec<u8> {
        self.pair.public_key_raw().to_vec()
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(&self.id), claims)
    }

    /// Signs, and says that another key did.
    pub fn sign_as(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }
}

/// What the issuer knows and how it behaves.
pub struct Mind {
    pub keys: Vec<Key>,
    /// What it publishes in place of the keys above.
    pub published: Option<Value>,
    /// What the document says otherwise.
    pub document: Value,
    pub is_down: bool,
    /// Claims of whoever signs in in a browser, in place of the usual ones.
    pub claims: Value,
    /// How often the document was asked for.
    pub asked: usize,
    codes: HashMap<String, HashMap<String, String>>,
    /// Codes that were redeemed.
    pub redeemed: usize,
}

#[derive(Clone)]
pub struct Double {
    pub address: SocketAddr,
    mind: Arc<Mutex<Mind>>,
}

pub fn seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

pub fn grant(value: &str, role: Role, organizations: &[&str], projects: &[&str]) -> Grant {
    let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    Grant {
        value: value.to_owned(),
        organizations: own(organizations),
        projects: own(projects),
        ..Grant::of("roles", role)
    }
}

impl Double {
    pub async fn start() -> Double {
        let mind = Mind {
            keys: vec![Key::new("one")],
            published: None,
            document: json!({}),
            is_down: false,
            claims: json!({}),
            asked: 0,
            codes: HashMap::new(),
            redeemed: 0,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Double { address: listener.local_addr().unwrap(), mind: Arc::new(Mutex::new(mind)) };
        let path = |rest: &str| format!("/{TENANT}/v2.0{rest}");
        let router = Router::new()
            .route(&path("/.well-known/openid-configuration"), get(document))
            .route(&path("/keys"), get(keys))
            .route(&path("/authorize"), get(authorize))
            .route(&path("/token"), post(token))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        double
    }

    pub fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap()
    }

    /// Its name, as in its tokens.
    pub fn issuer(&self) -> String {
        format!("http://{}/{TENANT}/v2.0", self.address)
    }

    pub fn settings(&self, grants: Vec<Grant>) -> Settings {
        Settings {
            issuer: self.issuer(),
            client_id: CLIENT.to_owned(),
            client_secret: SECRET.to_owned(),
            audiences: vec![format!("api://{CLIENT}")],
            redirect: PAGE.to_owned(),
            scope: format!("api://{CLIENT}/.default"),
            grants,
            session: Duration::from_secs(3600),
            keys_every: Duration::from_secs(3600),
            keys_again: Duration::ZERO,
        }
    }

    pub fn trusted(&self, grants: Vec<Grant>) -> Arc<Issuer> {
        Arc::new(Issuer::new(self.settings(grants), [9; 32]).unwrap())
    }

    /// What an access token of somebody says, with changes.
    pub fn claims(&self, changes: Value) -> Value {
        let now = seconds();
        let mut all = json!({
            "iss": self.issuer(), "aud": CLIENT, "tid": TENANT, "exp": now + 600, "nbf": now - 5, "iat": now - 5,
            "oid": "0d000000-0000-4000-8000-00000000000a", "sub": "pairwise", "ver": "2.0",
            "preferred_username": "ada@contoso.com", "name": "Ada", "azp": CLIENT, "roles": ["audit.analyst"],
        });
        let own = all.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => _ = own.remove(name),
                false => _ = own.insert(name.clone(), value.clone()),
            }
        }
        all
    }

    pub fn token(&self, changes: Value) -> String {
        self.mind().keys[0].sign(&self.claims(changes))
    }
}

async fn document(State(own): State<Double>) -> axum::response::Response {
    let base = own.issuer();
    let mut mind = own.mind();
    mind.asked += 1;
    if mind.is_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let mut all = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize?policy=p"),
        "token_endpoint": format!("{base}/token"), "jwks_uri": format!("{base}/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    });
    let changes = mind.document.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(changes);
    Json(all).into_response()
}

async fn keys(State(own): State<Double>) -> axum::response::Response {
    let mind = own.mind();
    match &mind.published {
        _ if mind.is_down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(other) => Json(other.clone()).into_response(),
        None => {
            Json(json!({ "keys": mind.keys.iter().map(Key::public).collect::<Vec<_>>() })).into_response()
        }
    }
}

fn form(text: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// Lets everybody in and sends them back with a code.
async fn authorize(State(own): State<Double>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let asked = form(&query.unwrap_or_default());
    for (name, wanted) in [
        ("policy", "p"),
        ("client_id", CLIENT),
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("scope", "openid profile"),
        ("redirect_uri", "https://audit.example/sign-in/callback"),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(wanted), "{name}");
    }
    assert!(asked["nonce"].len() >= 43 && asked["state"].len() >= 43 && asked["code_challenge"].len() == 43);
    let mut mind = own.mind();
    let code = format!("code-{}", mind.codes.len());
    let back =
        url::Url::parse_with_params(&asked["redirect_uri"], [("code", &code), ("state", &asked["state"])]);
    mind.codes.insert(code, asked);
    (StatusCode::FOUND, [("location", back.unwrap().to_string())])
}

/// Redeems a code once, of who began the sign-in.
async fn token(State(own): State<Double>, body: String) -> axum::response::Response {
    let asked = form(&body);
    let of = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let refuse = |says: &str| {
        let error =
            json!({ "error": "invalid_grant", "error_description": format!("AADSTS70000: {says} <script>") });
        (StatusCode::BAD_REQUEST, Json(error)).into_response()
    };
    let mut mind = own.mind();
    let Some(begun) = mind.codes.remove(of("code")) else { return refuse("the code is used or unknown") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of("code_verifier").as_bytes()));
    if challenge != begun["code_challenge"] {
        return refuse("the verifier is another");
    }
    if of("redirect_uri") != begun["redirect_uri"]
        || of("client_id") != CLIENT
        || of("client_secret") != SECRET
    {
        return refuse("the client is another");
    }
    mind.redeemed += 1;
    let changes = mind.claims.clone();
    let mut claims = own.claims(json!({ "nonce": begun["nonce"], "azp": null }));
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let token = mind.keys[0].sign(&claims);
    Json(json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": "opaque", "id_token": token }))
        .into_response()
}
