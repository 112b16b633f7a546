// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Blobs below one URL, by HTTP range requests (RFC 9110, 14).

use std::io::{self, Read as _};
use std::thread;
use std::time::Duration;

use percent_encoding::{percent_encode, AsciiSet, NON_ALPHANUMERIC};
use ureq::http::header::{CONTENT_RANGE, RANGE};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Error};

use super::{Backend, BackendError, Blob};

/// What a path segment has as it is: the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Tries for each request, at least one.
    pub tries: u32,
    /// Rest before the second try; it doubles with each further one.
    pub rest: Duration,
    /// Time that one try can take, from connecting to the last byte.
    pub timeout: Duration,
    /// Connections that are kept for later requests.
    pub connections: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            tries: 4,
            rest: Duration::from_millis(100),
            timeout: Duration::from_secs(30),
            connections: 16,
        }
    }
}

/// A server of blobs: a blob's URL is the base, a slash, and the cookie key.
#[derive(Debug)]
pub struct Http {
    agent: Agent,
    base: String,
    options: HttpOptions,
}

impl Http {
    /// The blobs below `base`.
    ///
    /// # Errors
    /// `base` is not a URL of `http` or `https`.
    pub fn new(base: &str, options: HttpOptions) -> Result<Self, BackendError> {
        let uri: Option<Uri> = base.parse().ok();
        if !matches!(
            uri.as_ref().and_then(Uri::scheme_str),
            Some("http" | "https")
        ) {
            return Err(BackendError::Base(base.to_owned()));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(options.timeout))
            .max_idle_connections(options.connections)
            .max_idle_connections_per_host(options.connections)
            .user_agent("ondined")
            .accept_encoding("identity")
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: base.trim_end_matches('/').to_owned(),
            options,
        })
    }

    fn url(&self, blob: &Blob) -> Result<String, BackendError> {
        // Servers and proxies resolve dot segments, escaped or not.
        if matches!(&blob.cookie[..], b"" | b"." | b"..") {
            return Err(BackendError::Name(blob.clone()));
        }
        let name = percent_encode(&blob.cookie, ESCAPED);
        Ok(format!("{}/{name}", self.base))
    }

    fn get(&self, url: &str, first: u64, last: u64) -> Result<Response<Body>, BackendError> {
        self.agent
            .get(url)
            .header(RANGE, format!("bytes={first}-{last}"))
            .call()
            .map_err(|error| BackendError::Transport {
                url: url.to_owned(),
                error: Box::new(error),
            })
    }

    /// Asks for the first byte: the answer has the size, and shows whether the server knows ranges.
    fn ask_size(&self, url: &str) -> Result<Option<u64>, BackendError> {
        let response = self.get(url, 0, 0)?;
        let size = match response.status().as_u16() {
            206 => content_range(&response).strip_prefix("bytes 0-0/"),
            // An empty file has no first byte.
            416 => content_range(&response).strip_prefix("bytes */"),
            404 => return Ok(None),
            _ => return Err(refused(url, &response)),
        };
        match size.and_then(|size| size.parse().ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(BackendError::ContentRange {
                url: url.to_owned(),
                want: 0..=0,
                got: content_range(&response).to_owned(),
            }),
        }
    }

    fn ask_bytes(&self, url: &str, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        let last = offset + buffer.len() as u64 - 1;
        let response = self.get(url, offset, last)?;
        if response.status() != 206 {
            return Err(refused(url, &response));
        }
        let said = content_range(&response);
        if !said.starts_with(&format!("bytes {offset}-{last}/")) {
            return Err(BackendError::ContentRange {
                url: url.to_owned(),
                want: offset..=last,
                got: said.to_owned(),
            });
        }
        let mut body = response.into_body().into_reader();
        let length = |longer| BackendError::Length {
            url: url.to_owned(),
            want: buffer.len(),
            longer,
        };
        let (short, long) = (length(false), length(true));
        let transport = |error: io::Error| BackendError::Transport {
            url: url.to_owned(),
            error: Box::new(error.into()),
        };
        match body.read_exact(buffer) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(short),
            Err(error) => return Err(transport(error)),
        }
        // Reading the end also lets the connection serve another request.
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(long),
            Err(error) => Err(transport(error)),
        }
    }

    fn persist<T>(
        &self,
        mut ask: impl FnMut() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut rest = self.options.rest;
        let mut tries = 1;
        loop {
            match ask() {
                Err(error) if error.can_pass() => {
                    if tries >= self.options.tries {
                        let error = Box::new(error);
                        return Err(BackendError::GivenUp { tries, error });
                    }
                    tracing::warn!("{error}; another try in {rest:?}");
                }
                other => return other,
            }
            thread::sleep(rest);
            rest *= 2;
            tries += 1;
        }
    }
}

impl Backend for Http {
    fn size(&self, blob: &Blob) -> Result<Option<u64>, BackendError> {
        let url = self.url(blob)?;
        self.persist(|| self.ask_size(&url))
    }

    fn read(&self, blob: &Blob, offset: u64, buffer: &mut [u8]) -> Result<(), BackendError> {
        if buffer.is_empty() {
            return Ok(());
        }
        let url = self.url(blob)?;
        self.persist(|| self.ask_bytes(&url, offset, buffer))
    }
}

impl BackendError {
    /// Whether another try may do better.
    fn can_pass(&self) -> bool {
        match self {
            Self::Transport { error, .. } => matches!(
                **error,
                Error::Io(_)
                    | Error::Timeout(_)
                    | Error::HostNotFound
                    | Error::ConnectionFailed
                    | Error::Protocol(_)
            ),
            Self::Length { longer, .. } => !longer,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            _ => false,
        }
    }
}

fn content_range(response: &Response<Body>) -> &str {
    response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn refused(url: &str, response: &Response<Body>) -> BackendError {
    let url = url.to_owned();
    match response.status().as_u16() {
        200 => BackendError::NoRanges { url },
        404 => BackendError::NotFound { url },
        status => BackendError::Status { url, status },
    }
}
