// SPDX-License-Identifier: Apache-2.0 OR MIT

//! One connection: requests and their answers in turn (RFC 9112, as far as `GET` needs it).

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Take, Write as _};
use std::net::TcpStream;

/// What a client wants.
pub(super) struct Request {
    /// The path, as it was sent.
    pub(super) path: String,
    /// The value of `Range`.
    pub(super) range: Option<String>,
}

/// What it gets.
pub(super) struct Answer {
    status: u16,
    range: Option<String>,
    body: Option<Take<File>>,
    sent: Option<Box<dyn FnOnce()>>,
}

impl Answer {
    /// The rest of `body`, with the value of `Content-Range` when it is a part.
    pub(super) fn new(status: u16, range: Option<String>, body: Take<File>) -> Self {
        Self {
            status,
            range,
            body: Some(body),
            sent: None,
        }
    }

    /// Nothing but a status.
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            range: None,
            body: None,
            sent: None,
        }
    }

    /// The same, with what to do once it is sent, or cannot be.
    pub(super) fn then(self, sent: impl FnOnce() + 'static) -> Self {
        Self {
            sent: Some(Box::new(sent)),
            ..self
        }
    }

    fn send(self, mut to: &TcpStream) -> io::Result<()> {
        let len = self.body.as_ref().map_or(0, Take::limit);
        let mut head = format!("HTTP/1.1 {} -\r\nContent-Length: {len}\r\n", self.status);
        if let Some(range) = &self.range {
            head.push_str(&format!("Content-Range: {range}\r\n"));
        }
        head.push_str("\r\n");
        let result = to.write_all(head.as_bytes()).and_then(|()| {
            self.body
                .map_or(Ok(0), |mut body| io::copy(&mut body, &mut to))
        });
        if let Some(sent) = self.sent {
            sent();
        }
        // A file that is shorter than it was cannot be told in any other way.
        (result? == len)
            .then_some(())
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Answers requests until the client has no more, or sends what is none.
///
/// # Errors
/// Those of the connection.
pub(super) fn serve(connection: &TcpStream, answer: impl Fn(Request) -> Answer) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut from = BufReader::new(connection);
    while let Some(request) = read(&mut from)? {
        answer(request).send(connection)?;
    }
    Ok(())
}

fn read(from: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
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
