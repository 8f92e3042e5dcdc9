//! An S3-compatible server in the test's own process, on loopback: it checks signatures, counts what it is asked and
//! sends, and fails on request.
//!
//! ```text
//! liqsql ──HTTP──► count ──► fault? ──► s3s on a folder
//!                       └──► /web/…: plain files, for http://
//! ```

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Keys that the server knows. No output may hold them.
pub const ACCESS_KEY: &str = "AKIATESTKEY0123";
pub const SECRET_KEY: &str = "hunter2+very/secret+key";

/// The bucket that there is.
pub const BUCKET: &str = "market";

/// How a request fails.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// An error answer with this code in its body.
    Answer(u16, &'static str),
    /// No answer at all.
    Silence,
    /// The head and half of the body, then nothing more.
    SilenceWithin,
    /// The head and half of the body, then the end of the connection.
    CutShort,
    /// The end of the connection.
    BreakOff,
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    List,
    Get,
    Head,
    Put,
    Web,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub kind: Kind,
    /// The key, or the prefix of a list.
    pub key: String,
    /// Bytes of the answer's body.
    pub bytes: usize,
}

struct Rule {
    kind: Kind,
    part_of_key: &'static str,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct State {
    rules: Mutex<Vec<Rule>>,
    asked: Mutex<Vec<Asked>>,
}

pub struct S3Server {
    address: SocketAddr,
    state: Arc<State>,
    folder: tempfile::TempDir,
    runtime: Option<Runtime>,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

impl S3Server {
    /// Starts a server with one empty bucket.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("buckets").join(BUCKET)).expect("a bucket");
        fs::create_dir_all(folder.path().join("web")).expect("a folder");
        let files = s3s_fs::FileSystem::new(folder.path().join("buckets")).expect("a store");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let store = builder.build();
        let state = Arc::new(State::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let web = folder.path().join("web");
        let shared = Arc::clone(&state);
        let connections = runtime.handle().clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (state, store, web) = (Arc::clone(&shared), store.clone(), web.clone());
                connections.spawn(async move {
                    let service =
                        service_fn(move |request| answer(Arc::clone(&state), store.clone(), web.clone(), request));
                    // A connection that breaks off is what some tests are about.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, state, folder, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder that the bucket is.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("buckets").join(BUCKET)
    }

    /// The folder that is at `/web/`.
    pub fn web(&self) -> PathBuf {
        self.folder.path().join("web")
    }

    /// Lets the next requests of a kind fail, if their key contains this.
    pub fn fail(&self, kind: Kind, part_of_key: &'static str, fault: Fault, times: usize) {
        self.state.rules.lock().unwrap().push(Rule { kind, part_of_key, fault, times });
    }

    /// Forgets what was asked and what should fail.
    pub fn reset(&self) {
        self.state.rules.lock().unwrap().clear();
        self.state.asked.lock().unwrap().clear();
    }

    /// What was asked since the last reset.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The program, with nothing of the developer's environment and the keys of the server.
    pub fn liqsql(&self) -> Command {
        let mut command = self.liqsql_without_keys();
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_ENDPOINT", self.endpoint())
            .env("AWS_ALLOW_HTTP", "true");
        command
    }

    /// The program, which knows of no server.
    pub fn liqsql_without_keys(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liqsql"));
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a program printed, which never holds a key.
pub fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"));
    for secret in [SECRET_KEY, ACCESS_KEY] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "a key is shown:\n{stdout}\n{stderr}");
    }
    (status.code(), stdout, stderr)
}

async fn answer(
    state: Arc<State>,
    store: S3Service,
    web: PathBuf,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let (kind, key) = classify(&request);
    let fault = {
        let mut rules = state.rules.lock().unwrap();
        rules.iter_mut().find(|rule| rule.kind == kind && key.contains(rule.part_of_key) && rule.times > 0).map(
            |rule| {
                rule.times -= 1;
                rule.fault
            },
        )
    };
    let note = |bytes| state.asked.lock().unwrap().push(Asked { kind, key: key.clone(), bytes });
    match fault {
        Some(Fault::Silence) => {
            note(0);
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Some(Fault::BreakOff) => {
            note(0);
            return Err(std::io::Error::other("broken off"));
        }
        Some(Fault::Answer(status, code)) => {
            note(0);
            let body = match kind {
                Kind::Head => String::new(),
                _ => format!("<Error><Code>{code}</Code><Message>The key {ACCESS_KEY}: {code}.</Message></Error>"),
            };
            let mut response = Response::new(full(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            return Ok(response);
        }
        Some(Fault::SilenceWithin | Fault::CutShort) | None => {}
    }
    let response = match kind {
        Kind::Web => file(&web.join(&key), &request),
        _ => {
            let response = store
                .call(request.map(s3s::Body::from))
                .await
                .map_err(|error| std::io::Error::other(format!("{error:?}")))?;
            let (head, body) = response.into_parts();
            let body = BodyExt::collect(body).await.map_err(std::io::Error::other)?.to_bytes();
            Response::from_parts(head, body)
        }
    };
    let (mut head, body) = response.into_parts();
    note(body.len());
    let half = body.slice(..body.len() / 2);
    let body = match fault {
        Some(fault @ (Fault::SilenceWithin | Fault::CutShort)) => {
            head.headers.insert("content-length", body.len().into());
            let rest = futures::stream::once(async move {
                if matches!(fault, Fault::SilenceWithin) {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                }
                // Long enough for the half to be on its way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("cut short"))
            });
            let pieces = futures::stream::once(async move { Ok(Frame::data(half)) }).chain(rest);
            StreamBody::new(pieces).boxed_unsync()
        }
        _ => full(body),
    };
    Ok(Response::from_parts(head, body))
}

fn classify(request: &Request<Incoming>) -> (Kind, String) {
    let path = decoded(request.uri().path());
    if let Some(file) = path.strip_prefix("/web/") {
        return (Kind::Web, file.to_owned());
    }
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key).to_owned();
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::GET if query.contains("list-type=2") => {
            let prefix = query.split('&').find_map(|parameter| parameter.strip_prefix("prefix="));
            (Kind::List, decoded(prefix.unwrap_or_default()))
        }
        Method::GET => (Kind::Get, key),
        Method::HEAD => (Kind::Head, key),
        _ => (Kind::Put, key),
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = std::str::from_utf8(&digits).unwrap_or("00").to_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file as a web server gives it: whole, or the range that is asked for.
fn file(path: &Path, request: &Request<Incoming>) -> Response<Bytes> {
    let Ok(content) = fs::read(path) else {
        return Response::builder().status(404).body(Bytes::from_static(b"not found")).unwrap();
    };
    let builder = Response::builder().header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    if request.method() == Method::HEAD {
        return builder.header("content-length", content.len()).body(Bytes::new()).unwrap();
    }
    let range = request.headers().get("range").and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return builder.body(content.into()).unwrap();
    };
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, to.min(content.len() - 1)),
        (Ok(from), Err(_)) => (from, content.len() - 1),
        (Err(_), last) => (content.len().saturating_sub(last.unwrap_or(0)), content.len() - 1),
    };
    let of = format!("bytes {from}-{to}/{}", content.len());
    builder.status(206).header("content-range", of).body(Bytes::copy_from_slice(&content[from..=to])).unwrap()
}
