// SPDX-License-Identifier: Apache-2.0 OR MIT

//! An HTTP connection: reads requests and sends responses in turn (the part of RFC 9112 that `GET`
//! needs).

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Take, Write as _};
use std::net::TcpStream;

/// A GET request.
pub(super) struct Request {
    /// Path in its escaped form.
    pub(super) path: String,
    /// Value of the `Range` header.
    pub(super) range: Option<String>,
}

/// A response to a request.
pub(super) struct Response {
    status: u16,
    /// Value of the `Content-Range` header.
    range: Option<String>,
    /// Value of the `ETag` header.
    tag: Option<String>,
    body: Option<Take<File>>,
    /// Called once the response was sent or the connection failed.
    on_sent: Option<Box<dyn FnOnce()>>,
}

impl Response {
    /// A response with the rest of `body`, with the `ETag` of its file, and with the value of
    /// `Content-Range` if that is a part of it.
    pub(super) fn new(status: u16, range: Option<String>, tag: String, body: Take<File>) -> Self {
        Self {
            status,
            range,
            tag: Some(tag),
            body: Some(body),
            on_sent: None,
        }
    }

    /// A response without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            range: None,
            tag: None,
            body: None,
            on_sent: None,
        }
    }

    /// Sets a function to call once the response was sent or the connection failed.
    pub(super) fn on_sent(self, call: impl FnOnce() + 'static) -> Self {
        Self {
            on_sent: Some(Box::new(call)),
            ..self
        }
    }

    fn send(self, mut to: &TcpStream) -> io::Result<()> {
        let len = self.body.as_ref().map_or(0, Take::limit);
        let mut head = format!("HTTP/1.1 {} -\r\nContent-Length: {len}\r\n", self.status);
        if let Some(range) = &self.range {
            head.push_str(&format!("Content-Range: {range}\r\n"));
        }
        if let Some(tag) = &self.tag {
            head.push_str(&format!("ETag: {tag}\r\n"));
        }
        head.push_str("\r\n");
        let result = to.write_all(head.as_bytes()).and_then(|()| {
            self.body
                .map_or(Ok(0), |mut body| io::copy(&mut body, &mut to))
        });
        if let Some(on_sent) = self.on_sent {
            on_sent();
        }
        // The file shrank after the head was sent, so only closing the connection shows the error.
        (result? == len)
            .then_some(())
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Responds to requests until the client closes the connection.
///
/// # Errors
/// The connection failed, or the client sent something other than a GET request.
pub(super) fn serve(
    connection: &TcpStream,
    respond: impl Fn(Request) -> Response,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut from = BufReader::new(connection);
    while let Some(request) = read_request(&mut from)? {
        respond(request).send(connection)?;
    }
    Ok(())
}

/// Reads the next request; `None` at the end of the connection.
fn read_request(from: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some("GET"), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut request = Request {
        path: path.to_owned(),
        range: None,
    };
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Some(request));
        };
        if name.eq_ignore_ascii_case("range") {
            request.range = Some(value.trim().to_owned());
        }
    }
}
