// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The words of a step. Spaces separate them; `"..."` keeps spaces; `\n`, `\t`, `\0`, `\"` and `\\`
//! are escapes.

use anyhow::{bail, Context, Result};

/// The words of a step that are not parsed yet.
#[derive(Debug)]
pub struct Words {
    verb: String,
    rest: std::collections::VecDeque<String>,
}

impl Words {
    /// Splits `text` into words. The first one is the verb.
    ///
    /// # Errors
    /// When a quotation does not end, an escape is unknown, or there is no word.
    pub fn of(text: &str) -> Result<Self> {
        let mut rest = split(text)?;
        let verb = rest.pop_front().context("no verb")?;
        Ok(Self { verb, rest })
    }

    /// The verb.
    pub fn verb(&self) -> &str {
        &self.verb
    }

    /// Takes the next word. `what` names it in the error message.
    ///
    /// # Errors
    /// When no word is left.
    pub fn word(&mut self, what: &str) -> Result<String> {
        self.maybe()
            .with_context(|| format!("{}: {what} is missing", self.verb))
    }

    /// Takes the next word, if any.
    pub fn maybe(&mut self) -> Option<String> {
        self.rest.pop_front()
    }

    /// Takes the next word as a [`number`]. `what` names it in the error message.
    ///
    /// # Errors
    /// When no word is left, or the word is not a number.
    pub fn number(&mut self, what: &str) -> Result<u64> {
        let word = self.word(what)?;
        number(&word).with_context(|| format!("{}: {what} is {word:?}", self.verb))
    }

    /// Removes the first word `flag`, at any position. Returns true if there was one.
    pub fn flag(&mut self, flag: &str) -> bool {
        let place = self.rest.iter().position(|word| word == flag);
        place.map(|at| self.rest.remove(at)).is_some()
    }

    /// Removes the words `name VALUE`, at any position, and returns the value.
    pub fn option(&mut self, name: &str) -> Option<String> {
        let at = self.rest.iter().position(|word| word == name)?;
        self.rest.remove(at);
        self.rest.remove(at)
    }

    /// Checks that no word is left.
    ///
    /// # Errors
    /// When a word is left.
    pub fn end(self) -> Result<()> {
        match self.rest.front() {
            None => Ok(()),
            Some(word) => bail!("{}: {word:?} is one word too many", self.verb),
        }
    }
}

/// Parses a number: decimal, hexadecimal (`0x`), or decimal with the unit `K` (1024) or `M`.
///
/// # Errors
/// When `word` is not such a number.
pub fn number(word: &str) -> Result<u64> {
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
                    other => bail!("unknown escape: a backslash before {other:?}"),
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
