//! The answers: the page, `/clusters`, `/metrics`, and the two paths that a kubelet asks.

use std::time::Instant;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use expiryd_api::Timestamp;
use serde_json::json;

use crate::fleet::Fleet;
use crate::render::{metrics, page};

/// What is told of the clusters, as it is by this clock.
pub fn told(clock: fn() -> Timestamp) -> Router<Fleet> {
    let page = move |fleet, query| async move { fleet_page(fleet, query, clock()) };
    Router::new()
        .route("/", get(page))
        .route("/clusters", get(clusters))
        .route("/metrics", get(fleet_metrics))
}

/// These paths, with what no answer goes without.
pub fn guarded(paths: Router<Fleet>) -> Router<Fleet> {
    paths.layer(middleware::map_response(with_policy))
}

/// The two paths that a kubelet asks.
pub(super) fn health() -> Router<Fleet> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(fleet): State<Fleet>) -> Response {
    if fleet.read(|state| state.is_alive(Instant::now())) {
        "ok\n".into_response()
    } else {
        let why = "the loop has not come round for ten minutes\n";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

async fn readyz(State(fleet): State<Fleet>) -> Response {
    if fleet.read(|state| state.is_ready) {
        "ok\n".into_response()
    } else {
        let why = "the API server was not heard, or serves no Cluster API\n";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

/// All clusters, or the one that the query names.
fn fleet_page(State(fleet): State<Fleet>, RawQuery(query): RawQuery, now: Timestamp) -> Response {
    let query = query.unwrap_or_default();
    let page = fleet.read(|state| match query.strip_prefix("cluster=") {
        None => Some(page::fleet(state, now)),
        Some(name) => page::cluster(state, name, now),
    });
    match page {
        Some(page) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        None => (StatusCode::NOT_FOUND, "no cluster of this name is known\n").into_response(),
    }
}

async fn clusters(State(fleet): State<Fleet>) -> Response {
    let text = fleet.read(|state| {
        let clusters: Vec<_> = state.clusters.values().collect();
        json!({ "leads": state.leads, "clusters": clusters }).to_string()
    });
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn fleet_metrics(State(fleet): State<Fleet>) -> Response {
    ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], metrics::render(&fleet)).into_response()
}

/// What no answer goes without: no page of somebody else's shows it, and it runs nothing.
async fn with_policy(mut response: Response) -> Response {
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
