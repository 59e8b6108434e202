//! Whether PostgreSQL would take a value for a parameter: its type, its range, its unit.

use super::{Parameter, Type};
use crate::inventory::model::Scalar;
use crate::inventory::wording::{listed, quoted};

/// Why a value does not fit a parameter; `None` when it does.
pub fn reject(parameter: &Parameter, value: &Scalar) -> Option<String> {
    let given = value.to_string();
    let name = &parameter.name;
    match &parameter.kind {
        Type::Bool => (!is_truth(&given)).then(|| format!("`{name}` is on or off, not {}", quoted(&given))),
        Type::Text => None,
        Type::Enum(words) => {
            let switch = words.iter().any(|word| word == "on");
            let known =
                words.iter().any(|word| word.eq_ignore_ascii_case(&given)) || (switch && is_truth(&given));
            (!known).then(|| format!("`{name}` is one of {}, not {}", listed(words, "or"), quoted(&given)))
        }
        Type::Integer { .. } | Type::Real { .. } => number(parameter, value, &given),
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "bounds of whole parameters are within 53 bits, but for three at 2^63"
)]
fn number(parameter: &Parameter, value: &Scalar, given: &str) -> Option<String> {
    let name = &parameter.name;
    let unit = parameter.unit.as_deref();
    let Some(amount) = base_value(parameter, value) else {
        let kind = if matches!(parameter.kind, Type::Integer { .. }) { "a whole number" } else { "a number" };
        let units =
            unit.map_or_else(String::new, |unit| format!(", which may have a unit ({})", units(unit)));
        return Some(format!("`{name}` is {kind}{units}, not {}", quoted(given)));
    };
    let (low, high, min, max) = match parameter.kind {
        Type::Integer { min, max } => (min as f64, max as f64, min.to_string(), max.to_string()),
        Type::Real { min, max } => (min, max, min.to_string(), format!("{max:e}")),
        _ => return None,
    };
    let unit = unit.map_or_else(String::new, |unit| format!(", counted in {unit}"));
    (amount < low || amount > high).then(|| {
        format!(
            "`{name}` is out of range: from {min} to {}{unit}, not {}",
            max.trim_end_matches("e0"),
            quoted(given)
        )
    })
}

/// The number that a value stands for, in the parameter's own unit; `None` when it is no number.
#[allow(clippy::cast_precision_loss, reason = "a size or a time beyond 2^53 is out of range anyway")]
pub fn base_value(parameter: &Parameter, value: &Scalar) -> Option<f64> {
    let whole = matches!(parameter.kind, Type::Integer { .. });
    let amount = match value {
        Scalar::Bool(_) => return None,
        Scalar::Int(value) => *value as f64,
        Scalar::Float(value) => *value,
        Scalar::Text(text) => {
            let text = text.trim();
            let end = text
                .char_indices()
                .find(|(index, c)| !is_numeric(text, *index, *c))
                .map_or(text.len(), |(index, _)| index);
            let (digits, unit) = text.split_at(end);
            let factor = match unit.trim() {
                "" => 1.0,
                // Negative when one is a size and the other a time.
                unit => factor(unit)? / factor(parameter.unit.as_deref()?)?,
            };
            if factor < 0.0 {
                return None;
            }
            digits_value(digits, whole)? * factor
        }
    };
    // PostgreSQL rounds a fraction of a whole parameter to its unit.
    amount.is_finite().then(|| if whole { amount.round() } else { amount })
}

fn is_numeric(text: &str, index: usize, c: char) -> bool {
    let before = text[..index].chars().next_back();
    c.is_ascii_digit()
        || c == '.'
        || ((c == '-' || c == '+') && matches!(before, None | Some('e' | 'E')))
        || (matches!(c, 'x' | 'X') && index == 1 && text.starts_with('0'))
        || (c.is_ascii_hexdigit() && (text.starts_with("0x") || text.starts_with("0X")))
        || (matches!(c, 'e' | 'E')
            && text[index + 1..]
                .starts_with(|next: char| next.is_ascii_digit() || next == '-' || next == '+'))
}

#[allow(clippy::cast_precision_loss, reason = "octal and hexadecimal are for masks")]
fn digits_value(digits: &str, whole: bool) -> Option<f64> {
    if whole {
        if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            return i64::from_str_radix(hex, 16).ok().map(|value| value as f64);
        }
        if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return i64::from_str_radix(digits, 8).ok().map(|value| value as f64);
        }
    }
    digits.parse().ok()
}

/// Bytes (positive) or microseconds (negative, to keep the two apart) in a unit.
fn factor(unit: &str) -> Option<f64> {
    Some(match unit {
        "B" => 1.0,
        "kB" => 1024.0,
        "8kB" => 8192.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        "TB" => 1_099_511_627_776.0,
        "us" => -1.0,
        "ms" => -1000.0,
        "s" => -1_000_000.0,
        "min" => -60_000_000.0,
        "h" => -3_600_000_000.0,
        "d" => -86_400_000_000.0,
        _ => return None,
    })
}

fn units(base: &str) -> &'static str {
    if base.ends_with('B') { "B, kB, MB, GB or TB" } else { "us, ms, s, min, h or d" }
}

/// PostgreSQL takes any unambiguous beginning of these words.
fn is_truth(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    matches!(text.as_str(), "0" | "1")
        || ["true", "false", "yes", "no"].iter().any(|word| begins(word, 1))
        || text == "on"
        || begins("off", 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parameters::Parameters;

    fn verdict(name: &str, value: Scalar) -> Option<String> {
        reject(Parameters::of(17).get(name).unwrap(), &value)
    }

    #[test]
    fn what_postgresql_takes_is_taken() {
        let text = |text: &str| Scalar::Text(text.into());
        for (name, value) in [
            ("work_mem", Scalar::Int(4096)),
            ("work_mem", text("64MB")),
            ("work_mem", text(" 1.5 GB ")),
            ("work_mem", text("0x1000")),
            ("shared_buffers", text("2GB")),
            ("log_file_mode", text("0640")),
            ("checkpoint_timeout", text("15min")),
            ("statement_timeout", text("1h")),
            ("statement_timeout", text("1e3")),
            ("random_page_cost", Scalar::Float(1.1)),
            ("random_page_cost", Scalar::Int(4)),
            ("vacuum_cost_delay", text("500us")),
            ("log_min_duration_statement", Scalar::Int(-1)),
            ("jit", text("off")),
            ("jit", Scalar::Bool(true)),
            ("jit", text("FALSE")),
            ("jit", Scalar::Int(0)),
            ("wal_compression", text("zstd")),
            ("wal_compression", Scalar::Bool(true)),
            ("log_statement", text("DDL")),
            ("default_transaction_isolation", text("repeatable read")),
            ("search_path", text("a, b")),
        ] {
            assert_eq!(verdict(name, value), None, "{name}");
        }
    }

    #[test]
    fn what_it_refuses_is_refused() {
        let text = |text: &str| Scalar::Text(text.into());
        for (name, value, why) in [
            ("work_mem", text("64mb"), "a whole number"),
            ("work_mem", text("10s"), "a whole number"),
            ("work_mem", text(""), "a whole number"),
            ("work_mem", text("-"), "a whole number"),
            ("work_mem", Scalar::Bool(true), "a whole number"),
            ("work_mem", Scalar::Int(1), "out of range: from 64 to 2147483647, counted in kB"),
            ("work_mem", text("1B"), "out of range"),
            ("max_parallel_workers", text("2GB"), "a whole number, not"),
            ("random_page_cost", Scalar::Int(-1), "out of range"),
            ("checkpoint_completion_target", Scalar::Float(1.5), "from 0 to 1, not"),
            ("log_file_mode", Scalar::Int(640), "out of range"),
            ("jit", text("o"), "on or off"),
            ("jit", Scalar::Int(2), "on or off"),
            ("log_statement", text("some"), "one of `none`, `ddl`, `mod` or `all`"),
        ] {
            let message = verdict(name, value).unwrap_or_default();
            assert!(message.contains(why), "{name}: {message}");
        }
    }
}
