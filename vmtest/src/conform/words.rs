// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The words of a step: split at spaces, `"..."` keeps them together, a backslash writes what a
//! file of text cannot hold.

use anyhow::{bail, Context, Result};

/// What is left of a step's words.
#[derive(Debug)]
pub(super) struct Words {
    verb: String,
    rest: std::collections::VecDeque<String>,
}

impl Words {
    /// The words of `text`, the first of which is the verb.
    ///
    /// # Errors
    /// When a quotation does not end, or there is no word.
    pub(super) fn of(text: &str) -> Result<Self> {
        let mut rest = split(text)?;
        let verb = rest.pop_front().context("no verb")?;
        Ok(Self { verb, rest })
    }

    /// The verb.
    pub(super) fn verb(&self) -> &str {
        &self.verb
    }

    /// The next word, which is `what` in a complaint.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn word(&mut self, what: &str) -> Result<String> {
        self.maybe()
            .with_context(|| format!("{}: {what} is missing", self.verb))
    }

    /// The next word, if there is one.
    pub(super) fn maybe(&mut self) -> Option<String> {
        self.rest.pop_front()
    }

    /// The next word as a number.
    ///
    /// # Errors
    /// When there is none, or it is none.
    pub(super) fn number(&mut self, what: &str) -> Result<u64> {
        let word = self.word(what)?;
        number(&word).with_context(|| format!("{}: {what} is {word:?}", self.verb))
    }

    /// Takes `flag` away from wherever it stands; whether it was there.
    pub(super) fn flag(&mut self, flag: &str) -> bool {
        let place = self.rest.iter().position(|word| word == flag);
        place.map(|at| self.rest.remove(at)).is_some()
    }

    /// Takes `name VALUE` away from wherever it stands.
    pub(super) fn option(&mut self, name: &str) -> Option<String> {
        let at = self.rest.iter().position(|word| word == name)?;
        self.rest.remove(at);
        self.rest.remove(at)
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub(super) fn end(self) -> Result<()> {
        match self.rest.front() {
            None => Ok(()),
            Some(word) => bail!("{}: {word:?} is one word too many", self.verb),
        }
    }
}

/// A number in decimal, in hexadecimal (`0x`), or counted in `K` or `M`.
pub(super) fn number(word: &str) -> Result<u64> {
    if let Some(digits) = word.strip_prefix("0x") {
        return Ok(u64::from_str_radix(digits, 16)?);
    }
    let (digits, unit) = match word.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => match word.strip_suffix('M') {
            Some(digits) => (digits, 1 << 20),
            None => (word, 1),
        },
    };
    Ok(digits.parse::<u64>()? * unit)
}

fn split(text: &str) -> Result<std::collections::VecDeque<String>> {
    let mut words = std::collections::VecDeque::new();
    let mut signs = text.trim().chars().peekable();
    while signs.peek().is_some() {
        let mut word = String::new();
        let mut quoted = false;
        while let Some(sign) = signs.next_if(|sign| quoted || !sign.is_whitespace()) {
            match sign {
                '"' => quoted = !quoted,
                '\\' => word.push(match signs.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('0') => '\0',
                    Some(sign @ ('"' | '\\')) => sign,
                    other => bail!("a backslash before {other:?} means nothing"),
                }),
                sign => word.push(sign),
            }
        }
        if quoted {
            bail!("a quotation does not end");
        }
        words.push_back(word);
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_and_escapes() {
        let words = |text: &str| split(text).map(Vec::from);
        assert_eq!(words(r#" a  "b c" d"#).unwrap(), ["a", "b c", "d"]);
        assert_eq!(words(r#""x\n\0\"" "" \\"#).unwrap(), ["x\n\0\"", "", "\\"]);
        assert!(words("\"open").is_err());
        assert!(words(r"\q").is_err());
    }

    #[test]
    fn numbers_have_units() {
        for (word, value) in [("12", 12), ("4K", 4096), ("2M", 2 << 20), ("0x10", 16)] {
            assert_eq!(number(word).unwrap(), value);
        }
        assert!(number("K").is_err());
    }

    #[test]
    fn flags_and_options_stand_anywhere_and_nothing_may_be_left() {
        let mut words = Words::of("recv as x ids").unwrap();
        assert!(words.flag("ids"));
        assert_eq!(words.option("as").as_deref(), Some("x"));
        words.end().unwrap();
        assert!(Words::of("poll now").unwrap().end().is_err());
        assert!(Words::of("  ").is_err());
        let missing = Words::of("close").unwrap().word("the handle").unwrap_err();
        assert_eq!(missing.to_string(), "close: the handle is missing");
    }
}
