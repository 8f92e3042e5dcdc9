//! How long a store is waited for: a request that gets no answer, or whose answer stops coming, fails after a bound.
//!
//! A bound on the whole request would also end a large file that arrives steadily, or that a busy query reads slowly. So
//! only silence counts: the time to the head of the answer, then the time between two pieces of its body. The store
//! retries what fails here like any other failed request, a body from where it stopped.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use tokio::time::{Sleep, sleep, timeout};

/// What is sent is given more time, by its size: the answer comes only when all of it has arrived.
const SLOWEST_UPLOAD_BYTES_PER_SECOND: u64 = 64 * 1024;

/// Makes clients that wait for at most this long.
#[derive(Debug)]
pub(super) struct Patience(pub(super) Duration);

impl HttpConnector for Patience {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Watched { inner, limit: self.0 }))
    }
}

/// The store fell silent.
#[derive(Debug)]
pub(super) enum Silence {
    /// Before it answered.
    BeforeAnswer(Duration),
    /// In the middle of its answer.
    WithinAnswer(Duration),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::BeforeAnswer(limit) => write!(f, "no answer within {limit:?}"),
            Silence::WithinAnswer(limit) => write!(f, "the answer stopped: nothing more came within {limit:?}"),
        }
    }
}

impl std::error::Error for Silence {}

#[derive(Debug)]
struct Watched {
    inner: HttpClient,
    limit: Duration,
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sent = u64::try_from(request.body().content_length()).unwrap_or(u64::MAX);
        let limit = self.limit + Duration::from_secs(sent / SLOWEST_UPLOAD_BYTES_PER_SECOND);
        let response = timeout(limit, self.inner.execute(request))
            .await
            .map_err(|_| HttpError::new(HttpErrorKind::Timeout, Silence::BeforeAnswer(limit)))??;
        let (head, body) = response.into_parts();
        let body = WatchedBody { inner: body, limit: self.limit, silence: None };
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

struct WatchedBody {
    inner: HttpResponseBody,
    limit: Duration,
    /// Runs while the reader waits; a reader that is busy elsewhere does not make the store silent.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame);
        }
        let limit = self.limit;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(limit)));
        match silence.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.silence = None;
                Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Silence::WithinAnswer(limit)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that waits before each of its pieces.
    struct Slow {
        pieces: u32,
        pause: Duration,
        wait: Option<Pin<Box<Sleep>>>,
    }

    impl Body for Slow {
        type Data = Bytes;
        type Error = HttpError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
            if self.pieces == 0 {
                return Poll::Ready(None);
            }
            let pause = self.pause;
            let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(pause)));
            std::task::ready!(wait.as_mut().poll(context));
            self.wait = None;
            self.pieces -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
        }
    }

    async fn read(pause: Duration, limit: Duration) -> Result<Bytes, HttpError> {
        let slow = Slow { pieces: 15, pause, wait: None };
        let body = WatchedBody { inner: HttpResponseBody::new(slow), limit, silence: None };
        HttpResponseBody::new(body).bytes().await
    }

    #[tokio::test]
    async fn only_silence_counts() {
        // More than two seconds in all, but never two seconds of silence.
        let whole = read(Duration::from_millis(150), Duration::from_secs(2)).await.expect("it kept coming");
        assert_eq!(whole.len(), 15 * "piece".len());
        let error = read(Duration::from_secs(600), Duration::from_millis(100)).await.expect_err("silence");
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
        assert!(error.to_string().contains("nothing more came within 100ms"), "{error}");
    }
}
