//! What is asked of those who may be hostile: one attempt, and an answer of bounded length.

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// The request failed.
    Request(Box<kube::Error>),
    /// The answer is cut off, or longer than it may be.
    Answer(String),
}

/// Gets this path; an answer longer than `limit` bytes is none.
pub(super) async fn get(
    client: Client,
    path: &str,
    limit: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    let request = http::Request::get(path).body(Body::empty());
    let request = request.map_err(|error| AskError::Answer(error.to_string()))?;
    let response = client.send(request).await.map_err(|error| AskError::Request(error.into()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), limit).collect().await;
    let body = body.map_err(|error| AskError::Answer(format!("its answer: {error}")))?;
    Ok((status, body.to_bytes()))
}
