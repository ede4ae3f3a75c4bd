//! What the settings of a destination say, as what sends to it.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use base64::Engine as _;

use super::{Failure, shape};
use crate::export::{
    Body, Call, Connection, Destination as Receiver, Elastic, Files, Form, Kafka, Otlp, Sentinel, SetupError,
    Splunk, Syslog, Token, Transport, Webhook,
};
use crate::model::{Ticks, random_guid};
use crate::objects;
use crate::pipeline::relay::{Bounds, Order};
use crate::settings::{Destination, Settings};
use crate::source::{SignIn, secret};

/// The resource that tokens for the Logs Ingestion API are issued to.
/// (learn.microsoft.com, "Logs Ingestion API in Azure Monitor")
const MONITOR: &str = "https://monitor.azure.com/.default";

/// A century: whoever writes more means for ever.
const LONGEST_SETTLE: u64 = 3_153_600_000;

/// What goes to a destination.
pub(super) fn order(own: &Destination) -> Result<Order, Failure> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if own.name.is_empty() || !own.name.chars().all(is_word) {
        return Err(wrong("name", &own.name, "letters, digits, `_` and `-`"));
    }
    if let Some(other) = own.what.iter().find(|what| !["events", "findings"].contains(&what.as_str())) {
        return Err(wrong("what", other, "`events`, `findings` or both"));
    }
    let own_shape = match (own.kind.as_str(), own.body.as_str()) {
        ("splunk", _) => "hec",
        ("sentinel", _) => "sentinel",
        ("elastic", _) => "ecs",
        ("otlp", _) => "otlp",
        ("file", _) => "ocsf",
        ("syslog", "cef") => "cef",
        ("syslog", "leef") => "leef",
        _ => "plain",
    };
    let name = if own.shape.is_empty() { own_shape } else { &own.shape };
    let finding = match own.finding_shape.as_str() {
        // The findings of a shape of one's own are in ours, unless it says otherwise.
        "" if name.ends_with(".sql") => format!("{own_shape}_finding"),
        "" => format!("{name}_finding"),
        other => other.to_owned(),
    };
    let wants = |what: &str| own.what.iter().any(|own| own == what);
    let condition = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(Order {
        name: own.name.clone(),
        events: if wants("events") { Some(shape(name)?) } else { None },
        findings: if wants("findings") { Some(shape(&finding)?) } else { None },
        filter: condition(&own.filter),
        finding_filter: condition(&own.finding_filter),
        settle: Ticks::seconds(own.settle.min(LONGEST_SETTLE) as i64),
        from_the_beginning: match own.start.as_str() {
            "beginning" => true,
            "now" => false,
            other => return Err(wrong("start", other, "beginning or now")),
        },
        bounds: Bounds { items: own.items.max(1), bytes: own.bytes.max(1) },
    })
}

/// Who takes it.
pub(super) fn destination(own: &Destination, settings: &Settings) -> Result<Box<dyn Receiver>, Failure> {
    let token = secret("token", &own.token)?;
    let timeout = Duration::from_secs(own.timeout.max(1));
    Ok(match own.kind.as_str() {
        "splunk" => {
            needs("url", &own.url)?;
            needs("token", &own.token)?;
            let within = (own.acknowledge > 0).then(|| Duration::from_secs(own.acknowledge));
            let channel = if own.channel.is_empty() { guid()? } else { own.channel.clone() };
            let fixed = [
                ("index", &own.index),
                ("sourcetype", &own.sourcetype),
                ("source", &own.source),
                ("host", &own.host),
            ];
            let fixed = fixed.into_iter().filter(|(_, value)| !value.is_empty());
            let fixed = fixed.map(|(name, value)| (name.to_owned(), value.clone())).collect();
            Box::new(Splunk::new(call(own, None)?, &token, channel, within, fixed))
        }
        "sentinel" => {
            for (name, value) in [("url", &own.url), ("rule", &own.rule), ("stream", &own.stream)] {
                needs(name, value)?;
            }
            let token = entra(own)?;
            Box::new(Sentinel::new(call(own, None)?, token, own.rule.clone(), own.stream.clone()))
        }
        "elastic" => {
            needs("url", &own.url)?;
            needs("index", &own.index)?;
            let key = (!token.is_empty()).then(|| format!("ApiKey {token}"));
            Box::new(Elastic::new(call(own, key)?, own.index.clone()))
        }
        "otlp" => {
            needs("url", &own.url)?;
            Box::new(Otlp::new(call(own, bearer(&token))?))
        }
        "webhook" => {
            needs("url", &own.url)?;
            let secret = Some(secret("secret", &own.secret)?).filter(|secret| !secret.is_empty());
            Box::new(Webhook::new(call(own, bearer(&token))?, own.list, secret))
        }
        "syslog" => {
            needs("url", &own.url)?;
            let body = match own.body.as_str() {
                "cef" => Body::Cef,
                "leef" => Body::Leef,
                "json" => Body::Json,
                other => return Err(wrong("body", other, "cef, leef or json")),
            };
            let transport = if own.transport == "udp" { Transport::Udp } else { transport(own)? };
            if own.facility > 23 {
                return Err(wrong("facility", &own.facility.to_string(), "a number up to 23"));
            }
            let made = Syslog::new(own.url.clone(), transport, body, own.facility, own.confirm, timeout);
            Box::new(made.map_err(setup)?)
        }
        "kafka" => {
            needs("url", &own.url)?;
            needs("topic", &own.topic)?;
            let brokers = own.url.split(',').map(|b| b.trim().to_owned()).filter(|b| !b.is_empty()).collect();
            let user = (own.user.clone(), secret("password", &own.password)?);
            let made = Kafka::new(brokers, own.topic.clone(), transport(own)?, &own.mechanism, user, timeout);
            Box::new(made.map_err(setup)?)
        }
        "file" => Box::new(files(own, settings)?),
        other => {
            let want = "splunk, sentinel, elastic, syslog, otlp, webhook, kafka or file";
            return Err(wrong("kind", other, want));
        }
    })
}

fn files(own: &Destination, settings: &Settings) -> Result<Files, Failure> {
    needs("url", &own.url)?;
    let form = match own.form.as_str() {
        "ndjson" => Form::Ndjson,
        "parquet" => Form::Parquet,
        other => return Err(wrong("form", other, "ndjson or parquet")),
    };
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let partitions = match (own.region.is_empty(), own.account_id.is_empty()) {
        (true, true) => None,
        (false, false) if is_word(&own.region) && is_word(&own.account_id) => {
            Some((own.region.clone(), own.account_id.clone()))
        }
        (false, false) => return Err(wrong("region", &own.region, "letters, digits, `_` and `-`")),
        _ => return Err(Failure::of("set up the destination", SetupError::Lacks("region` and `account_id"))),
    };
    if !objects::is_url(&own.url) {
        return Ok(Files::local(super::super::absolute(own.url.as_ref()), form, partitions));
    }
    let access = super::super::storage::access(settings)?;
    let named = objects::open(&own.url, &access, tokio::runtime::Handle::current())
        .map_err(|e| Failure::of(format!("understand the URL `{}`", own.url), e))?;
    Ok(Files::far(named.store, named.path, form, partitions))
}

fn setup(e: SetupError) -> Failure {
    Failure::of("set up the destination", e)
}

fn wrong(setting: &str, value: &str, want: &str) -> Failure {
    Failure::says(format!("understand `{setting} = \"{value}\"`; write {want}"))
}

fn needs(setting: &'static str, value: &str) -> Result<(), Failure> {
    if value.is_empty() { Err(setup(SetupError::Lacks(setting))) } else { Ok(()) }
}

fn secret(name: &str, setting: &str) -> Result<String, Failure> {
    secret::optional(setting).map_err(|e| Failure::of(format!("understand the setting `{name}`"), e))
}

fn bearer(token: &str) -> Option<String> {
    (!token.is_empty()).then(|| format!("Bearer {token}"))
}

/// Calls with what a destination signs in with: this, or user and password.
fn call(own: &Destination, sign_in: Option<String>) -> Result<Call, Failure> {
    let mut headers = Vec::new();
    for (name, value) in &own.headers {
        headers.push((name.clone(), secret(name, value)?));
    }
    let basic = || -> Result<Option<String>, Failure> {
        if own.user.is_empty() {
            return Ok(None);
        }
        let pair = format!("{}:{}", own.user, secret("password", &own.password)?);
        Ok(Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))))
    };
    let sign_in = match sign_in {
        Some(own) => Some(own),
        None => basic()?,
    };
    headers.extend(sign_in.map(|value| ("authorization".to_owned(), value)));
    Call::new(&Connection {
        url: own.url.clone(),
        authorities: own.authorities.clone(),
        timeout: Duration::from_secs(own.timeout.max(1)),
        gzip: own.gzip,
        headers,
    })
    .map_err(setup)
}

fn transport(own: &Destination) -> Result<Transport, Failure> {
    match own.transport.as_str() {
        "tcp" => Ok(Transport::Tcp),
        "tls" => Transport::tls(&own.authorities).map_err(setup),
        other => Err(wrong("transport", other, "tcp or tls")),
    }
}

/// Tokens of Entra for Azure Monitor; cached and renewed behind it.
fn entra(own: &Destination) -> Result<Token, Failure> {
    let sign_in = SignIn {
        kind: own.credential.clone(),
        tenant_id: own.tenant_id.clone(),
        client_id: own.client_id.clone(),
        secret: secret("client_secret", &own.client_secret)?,
    };
    let credential: Arc<dyn TokenCredential> =
        sign_in.token_credential().map_err(|e| Failure::of("set up the destination", e))?;
    let scope = if own.scope.is_empty() { MONITOR.to_owned() } else { own.scope.clone() };
    let kind = own.credential.clone();
    Ok(Arc::new(move || {
        let (credential, scope, kind) = (credential.clone(), scope.clone(), kind.clone());
        Box::pin(async move {
            let token = credential.get_token(&[scope.as_str()], None).await;
            token.map(|token| token.token.secret().to_owned()).map_err(|e| format!("sign in by {kind}: {e}"))
        })
    }))
}

/// A random id.
fn guid() -> Result<String, Failure> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits).map_err(|e| Failure::of("draw random numbers", e.to_string()))?;
    Ok(random_guid(u128::from_ne_bytes(bits)))
}
