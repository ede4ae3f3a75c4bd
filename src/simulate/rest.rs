//! The simulated organisation's REST API behind an address.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::World;
use super::answers::{Manner, Moods, Request};
use crate::model::Time;

struct Service<N> {
    world: World,
    moods: Moods,
    now: N,
}

/// Serves the world as of the moment that `now` tells, until the task is dropped; returns its address.
pub async fn serve(
    world: World,
    moods: Moods,
    address: &str,
    now: impl Fn(&Request) -> Time + Send + Sync + 'static,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(answer).with_state(Arc::new(Service { world, moods, now }));
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

async fn answer<N: Fn(&Request) -> Time>(
    State(service): State<Arc<Service<N>>>,
    request: axum::extract::Request,
) -> Response {
    let header = request.headers().get("authorization").and_then(|header| header.to_str().ok());
    let request = Request {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization: header.unwrap_or_default().to_owned(),
    };
    let reply = service.world.answer((service.now)(&request), &service.moods, &request);
    let status = StatusCode::from_u16(reply.status).unwrap_or_default();
    let body = match reply.manner {
        Manner::Whole => Body::from(reply.body),
        Manner::Broken => {
            let half = reply.body.as_bytes()[..reply.body.len() / 2].to_owned();
            Body::from_stream(futures::stream::iter([Ok(half), Err(std::io::Error::other("broken"))]))
        }
        Manner::Stalled => std::future::pending().await,
    };
    let mut response = (status, body).into_response();
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
