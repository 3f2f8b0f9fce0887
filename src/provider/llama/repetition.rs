//! Loops of a small model, which writes the same few tokens again and again until its output limit.

use llama_cpp_2::token::LlamaToken;

/// Longest period that is looked for, in tokens: an element of a list.
const MAX_PERIOD: usize = 48;
/// Number of equal periods in a row that make a loop.
const MIN_REPEATS: usize = 3;
/// Length of a loop, in tokens. Shorter ones are common: `10000000`, `[0, 0, 0]`.
const MIN_LOOP_TOKENS: usize = 12;

/// Returns the token with which a loop at the end of an answer would go on. `None`: it does not end in a loop.
pub fn next_of_loop(answer: &[LlamaToken]) -> Option<LlamaToken> {
    (1..=MAX_PERIOD).find_map(|period| {
        let length = (period * MIN_REPEATS).max(MIN_LOOP_TOKENS.next_multiple_of(period));
        let start = answer.len().checked_sub(length)?;
        let tail = answer.get(start..)?;
        let is_loop = tail.iter().zip(tail.get(period..)?).all(|(a, b)| a == b);
        is_loop
            .then(|| tail.get(length - period).copied())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(tokens: impl IntoIterator<Item = i32>) -> Option<i32> {
        let tokens: Vec<_> = tokens.into_iter().map(LlamaToken).collect();
        next_of_loop(&tokens).map(|token| token.0)
    }

    fn repeated(period: &[i32], times: usize) -> Vec<i32> {
        [&[100, 101], &*period.repeat(times)].concat()
    }

    #[test]
    fn a_loop_is_found_at_the_end_and_its_next_token_is_named() {
        assert_eq!(next(repeated(&[1, 2], 6)), Some(1), "Berlin. six times");
        assert_eq!(next(repeated(&[7], 12)), Some(7));
        let row: Vec<i32> = (0..20).collect();
        assert_eq!(next(repeated(&row, 3)), Some(0), "three equal rows");
        let mut amid = repeated(&row, 3);
        amid.extend([0, 1, 2]);
        assert_eq!(next(amid), Some(3), "the loop goes on at any of its tokens");
    }

    #[test]
    fn what_repeats_a_little_is_no_loop() {
        assert_eq!(next(repeated(&[1, 2], 5)), None);
        assert_eq!(next(repeated(&[7], 11)), None);
        let row: Vec<i32> = (0..20).collect();
        assert_eq!(next(repeated(&row, 2)), None);
        let mut ended = repeated(&[1, 2], 8);
        ended.push(3);
        assert_eq!(next(ended), None, "it has ended");
        assert_eq!(next([]), None);
    }
}
