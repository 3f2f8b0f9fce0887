//! Chinese and Japanese numerals.

/// Reads Chinese or Japanese numerals that start at byte `at`: their value and the byte after them.
pub fn read_ideographs(text: &str, at: usize) -> Option<(u64, usize)> {
    let rest = text.get(at..)?;
    let (mut total, mut section, mut digit) = (0_u64, 0_u64, None::<u64>);
    let (mut plain, mut digits, mut end) = (0_u64, 0_usize, at);
    let mut has_scale = false;
    for c in rest.chars().take(24) {
        let Some(value) = ideograph(c) else { break };
        end += c.len_utf8();
        match value {
            0..=9 => {
                plain = plain.saturating_mul(10).saturating_add(value);
                digits += 1;
                digit = Some(value);
            }
            10..=1000 => {
                has_scale = true;
                section += digit.take().unwrap_or(1) * value;
            }
            _ => {
                has_scale = true;
                total = total.saturating_add(
                    (section + digit.take().unwrap_or_default()).saturating_mul(value),
                );
                section = 0;
            }
        }
    }
    let value = if has_scale {
        total.saturating_add(section + digit.unwrap_or_default())
    } else {
        plain
    };
    (digits > 0 || has_scale).then_some((value, end))
}

fn ideograph(c: char) -> Option<u64> {
    Some(match c {
        '〇' | '零' => 0,
        '一' | '壱' => 1,
        '二' | '两' | '兩' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        '十' => 10,
        '百' => 100,
        '千' => 1000,
        '万' | '萬' => 10_000,
        '亿' | '億' => 100_000_000,
        _ => return None,
    })
}
