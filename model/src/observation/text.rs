// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Byte strings (names, paths, link targets, attribute values) that survive JSON.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are usually but not necessarily UTF-8 text.
///
/// The printed form and the JSON form are the text itself, with backslashes, control characters and
/// non-UTF-8 bytes written as `\xNN`. Every value has exactly one form, which parses back to the
/// same bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as an `OsStr`.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// True for the root's path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a name to the path.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }

    /// Path of the parent directory; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].to_vec()))
    }

    /// Parses the printed form.
    ///
    /// # Errors
    /// A backslash that does not begin `\xNN`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let code = rest
                .get(at + 2..at + 4)
                .filter(|_| rest.as_bytes()[at + 1] == b'x');
            let byte = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(byte.ok_or_else(|| format!("{text:?}: a backslash must begin \\xNN"))?);
            rest = &rest[at + 4..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(Self(bytes))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' || c.is_ascii_control() {
                    write!(f, "\\x{:02x}", u32::from(c))?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_its_printed_form() {
        let all = Text((0..=255).collect());
        assert_eq!(Text::parse(&all.to_string()), Ok(all.clone()));
        let json = serde_json::to_string(&all).expect("a string");
        assert_eq!(serde_json::from_str::<Text>(&json).expect("the same"), all);
    }

    #[test]
    fn a_stray_backslash_is_refused() {
        assert!(Text::parse("a\\").is_err());
        assert!(Text::parse("a\\n").is_err());
        assert!(Text::parse("\\xg0").is_err());
    }

    #[test]
    fn a_path_knows_its_parent() {
        assert_eq!(
            Text::from("usr/bin/tar").parent(),
            Some(Text::from("usr/bin"))
        );
        assert_eq!(Text::from("usr").parent(), Some(Text::default()));
        assert_eq!(Text::default().parent(), None);
        assert_eq!(
            Text::default().join(b"usr").join(b"bin"),
            Text::from("usr/bin")
        );
    }
}
