//! Watches that lose events, stand still, or end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};

use super::proxy::Seen;

/// What becomes of an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// It and what follows come after a while.
    Late(Duration),
    /// It never comes.
    Lost,
    /// Neither it nor anything after it comes; the watch stays open.
    Silence,
    /// Instead of it the API server says that its history is compacted, and ends the watch.
    Expired,
}

/// Asked for every event of every watch.
pub(crate) type Filter = Arc<dyn Fn(&Seen, &Value) -> Fate + Send + Sync>;

/// Who decides what becomes of events.
#[derive(Clone)]
pub(super) enum Sieve {
    Looks(Filter),
    /// Without a look at them: reading every event of many watches costs a slow build more than all else.
    Blind(Arc<dyn Fn() -> Fate + Send + Sync>),
}

struct Lines {
    watch: Seen,
    body: BodyStream<Incoming>,
    sieve: Sieve,
    unread: Vec<u8>,
    over: bool,
}

/// A watch as the filter lets it through.
pub(super) fn filtered(watch: Seen, body: Incoming, sieve: Sieve) -> UnsyncBoxBody<Bytes, hyper::Error> {
    let lines = Lines { watch, body: BodyStream::new(body), sieve, unread: Vec::new(), over: false };
    let frames = futures::stream::unfold(lines, |mut lines| async move {
        let frame = lines.next().await?;
        Some((frame, lines))
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Lines {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        while !self.over {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                match self.judge(&line) {
                    Fate::Pass => return Some(Ok(Frame::data(line.into()))),
                    Fate::Late(wait) => {
                        tokio::time::sleep(wait).await;
                        return Some(Ok(Frame::data(line.into())));
                    }
                    Fate::Lost => {}
                    Fate::Silence => std::future::pending().await,
                    Fate::Expired => {
                        self.over = true;
                        return Some(Ok(Frame::data(expired().into())));
                    }
                }
                continue;
            }
            match self.body.next().await? {
                Ok(frame) => self.unread.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn judge(&self, line: &[u8]) -> Fate {
        match &self.sieve {
            Sieve::Looks(filter) => filter(&self.watch, &serde_json::from_slice(line).unwrap_or_default()),
            Sieve::Blind(filter) => filter(),
        }
    }
}

fn expired() -> String {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "message": "too old resource version", "reason": "Expired",
    });
    format!("{}\n", json!({"type": "ERROR", "object": status}))
}
