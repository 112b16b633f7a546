// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Blobs from an HTTP server, by range requests (RFC 9110 section 14).

use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use percent_encoding::{percent_encode, AsciiSet, NON_ALPHANUMERIC};
use ureq::http::header::{
    HeaderName, CONTENT_RANGE, ETAG, LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Error};

use super::proxy::Proxies;
use super::{Backend, BackendError, BlobKey, Version};

/// Characters to escape in a path segment: all but the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Redirects that a request follows at most.
const REDIRECTS: usize = 10;
/// Bytes of a redirect's body that are read, so that its connection can be reused.
const REDIRECT_BODY: u64 = 64 << 10;

/// Timeout and connections of an [`Http`] backend.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Time limit of one request, from connecting to the last byte.
    pub timeout: Duration,
    /// Idle connections that are kept open.
    pub connections: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connections: 16,
        }
    }
}

/// An HTTP server of blobs. The URL of a blob is the base URL, a slash and the escaped cookie key.
#[derive(Debug)]
pub struct Http {
    agent: Agent,
    proxies: Proxies,
    base: String,
}

impl Http {
    /// A backend for the blobs below the URL `base`.
    ///
    /// # Errors
    /// `base` is not an http or https URL, or the environment names a proxy by something else.
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
            // Both are up to get().
            .max_redirects(0)
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            proxies: Proxies::from_environment()?,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    fn url(&self, blob: &BlobKey) -> Result<String, BackendError> {
        // Servers and proxies resolve dot segments, even when they are escaped.
        if matches!(&blob.cookie[..], b"" | b"." | b"..") {
            return Err(BackendError::Name(blob.clone()));
        }
        let name = percent_encode(&blob.cookie, ESCAPED);
        Ok(format!("{}/{name}", self.base))
    }

    /// Requests the bytes from `first` to `last`, both included. Follows redirects: whether there is a
    /// proxy for a URL depends on its scheme and host.
    fn get(&self, url: &str, first: u64, last: u64) -> Result<Response<Body>, BackendError> {
        let transport = |error| BackendError::Transport {
            url: url.to_owned(),
            error: Box::new(error),
        };
        let mut at = url
            .parse::<Uri>()
            .map_err(|error| transport(Error::Http(error.into())))?;
        for _ in 0..=REDIRECTS {
            let response = self
                .agent
                .get(at.clone())
                .config()
                .proxy(self.proxies.of(&at).cloned())
                .build()
                .header(RANGE, format!("bytes={first}-{last}"))
                .call()
                .map_err(transport)?;
            let next = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => redirected(&at, header(&response, LOCATION)),
                _ => None,
            };
            let Some(next) = next else {
                return Ok(response);
            };
            at = next;
            let body = response.into_body().into_reader();
            // If that fails, the connection is not reused.
            let _ = io::copy(&mut body.take(REDIRECT_BODY), &mut io::sink());
        }
        Err(transport(Error::TooManyRedirects))
    }

    /// Requests the first byte: its answer carries the size and shows whether the server supports
    /// ranges.
    fn fetch_version(&self, url: &str) -> Result<Option<Version>, BackendError> {
        let response = self.get(url, 0, 0)?;
        let size = match response.status().as_u16() {
            206 => header(&response, CONTENT_RANGE).strip_prefix("bytes 0-0/"),
            // The file is empty, so it has no first byte.
            416 => header(&response, CONTENT_RANGE).strip_prefix("bytes */"),
            404 => return Ok(None),
            _ => return Err(status_error(url, &response)),
        };
        match size.and_then(|size| size.parse().ok()) {
            Some(size) => Ok(Some(Version {
                size,
                identity: identity(url, &response),
            })),
            None => Err(range_error(url, 0..=0, &response)),
        }
    }

    fn fetch_range(
        &self,
        url: &str,
        opened: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        let last = offset + buffer.len() as u64 - 1;
        let response = self.get(url, offset, last)?;
        let sent = header(&response, CONTENT_RANGE);
        let (range, size) = sent.split_once('/').unwrap_or_default();
        let now = match response.status().as_u16() {
            206 => Version {
                size: size
                    .parse()
                    .map_err(|_| range_error(url, offset..=last, &response))?,
                identity: identity(url, &response),
            },
            // The blob has become too short. Servers send no ETag with this status.
            416 => Version {
                size: size.parse().unwrap_or(opened.size),
                identity: opened.identity.clone(),
            },
            _ => return Err(status_error(url, &response)),
        };
        if now != *opened {
            return Err(BackendError::Changed {
                name: url.to_owned(),
                opened: opened.clone(),
                now,
            });
        }
        if response.status() != 206 {
            return Err(status_error(url, &response));
        }
        if range != format!("bytes {offset}-{last}") {
            return Err(range_error(url, offset..=last, &response));
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
        // A connection is reused only after the body was read to its end.
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(long),
            Err(error) => Err(transport(error)),
        }
    }
}

impl Backend for Http {
    fn version(&self, blob: &BlobKey) -> Result<Option<Version>, BackendError> {
        let url = self.url(blob)?;
        self.fetch_version(&url)
    }

    fn read(
        &self,
        blob: &BlobKey,
        version: &Version,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), BackendError> {
        if buffer.is_empty() {
            return Ok(());
        }
        let url = self.url(blob)?;
        self.fetch_range(&url, version, offset, buffer)
    }
}

/// A header of a response, empty if there is none.
fn header(response: &Response<Body>, name: HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The URL that a redirect of `at` leads to; `None` if its `Location` is no http or https URL.
fn redirected(at: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (at.scheme_str()?, at.authority()?);
    let url = if location.is_empty() {
        return None;
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        // Its query may hold a URL.
        format!("{scheme}://{authority}{location}")
    } else if location.contains("://") {
        location.to_owned()
    } else {
        let (directory, _) = at.path().rsplit_once('/')?;
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let url: Uri = url.parse().ok()?;
    matches!(url.scheme_str(), Some("http" | "https")).then_some(url)
}

/// Identity of the contents that a response has a part of: the ETag, or else the time of the last
/// change. Without both it is the URL, so that a cache is not shared with another server.
fn identity(url: &str, response: &Response<Body>) -> String {
    match (header(response, ETAG), header(response, LAST_MODIFIED)) {
        ("", "") => format!("without ETag and Last-Modified at {url}"),
        ("", modified) => format!("Last-Modified {modified}"),
        (tag, _) => format!("ETag {tag}"),
    }
}

/// Error for a response with another Content-Range than the requested one.
fn range_error(url: &str, want: RangeInclusive<u64>, response: &Response<Body>) -> BackendError {
    BackendError::ContentRange {
        url: url.to_owned(),
        want,
        got: header(response, CONTENT_RANGE).to_owned(),
    }
}

/// Error for a status that the caller does not handle.
fn status_error(url: &str, response: &Response<Body>) -> BackendError {
    let url = url.to_owned();
    match response.status().as_u16() {
        200 => BackendError::NoRanges { url },
        404 => BackendError::NotFound { url },
        status => BackendError::Status {
            url,
            status,
            retry_after: retry_after(header(response, RETRY_AFTER)),
        },
    }
}

/// Time until the moment in a `Retry-After` header, which is a number of seconds or a date.
fn retry_after(header: &str) -> Option<Duration> {
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_resolved_against_its_url() {
        let at: Uri = "http://host:1/dir/blob".parse().unwrap();
        let to = |location: &str| redirected(&at, location).map(|url| url.to_string());
        for (location, url) in [
            ("https://other/b", "https://other/b"),
            ("//other/b", "http://other/b"),
            ("/b?from=http://x/", "http://host:1/b?from=http://x/"),
            ("b", "http://host:1/dir/b"),
        ] {
            assert_eq!(to(location).as_deref(), Some(url), "{location}");
        }
        assert_eq!(to(""), None);
        assert_eq!(to("ftp://other/b"), None);
    }
}
