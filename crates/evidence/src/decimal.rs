//! Decimal numbers of any size, compared without floating point.

/// Digits without zeros at either end, times ten to the power of an exponent. Zero has no digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    pub is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Returns the number with these digits before and after the decimal point. Other characters are skipped.
    pub fn new(is_negative: bool, whole: &str, fraction: &str, exponent: i64) -> Self {
        let is_digit = |c: &char| c.is_ascii_digit();
        let mut digits: String = whole.chars().filter(is_digit).collect();
        let before = digits.len();
        digits.extend(fraction.chars().filter(is_digit));
        let after = i64::try_from(digits.len() - before).unwrap_or_default();
        let kept = digits.trim_end_matches('0').len();
        let zeros = i64::try_from(digits.len() - kept).unwrap_or_default();
        digits.truncate(kept);
        let leading = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..leading);
        if digits.is_empty() {
            return Self::default();
        }
        Self {
            is_negative,
            digits,
            exponent: exponent.saturating_sub(after).saturating_add(zeros),
        }
    }

    pub fn from_integer(value: u64) -> Self {
        Self::new(false, &value.to_string(), "", 0)
    }

    /// Reads a number in the syntax of JSON.
    pub fn from_json(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = !whole.is_empty()
            && whole
                .bytes()
                .chain(fraction.bytes())
                .all(|byte| byte.is_ascii_digit());
        let exponent = exponent.trim_start_matches('+').parse().ok()?;
        is_number.then(|| Self::new(is_negative, whole, fraction, exponent))
    }

    /// Returns the number times ten to the power of `exponent`.
    pub fn shifted(&self, exponent: i64) -> Self {
        let mut shifted = self.clone();
        if !shifted.digits.is_empty() {
            shifted.exponent = shifted.exponent.saturating_add(exponent);
        }
        shifted
    }

    /// Returns the number with a sign. Zero has none.
    pub fn signed(&self, is_negative: bool) -> Self {
        let mut signed = self.clone();
        signed.is_negative = is_negative && !signed.digits.is_empty();
        signed
    }

    /// Returns the digits of an integer, if it has at most 24.
    pub fn integer_digits(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok()?;
        (self.digits.len() + zeros <= 24).then(|| format!("{}{}", self.digits, "0".repeat(zeros)))
    }
}
