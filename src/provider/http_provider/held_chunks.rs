//! Chunks of a passed-through stream that wait while their text may be the beginning of a secret.

use std::sync::Arc;

use super::secrets::Secrets;
use crate::provider::partial_answer::{DecodeError, PartialAnswer};
use crate::provider::stream_decoder::begun_bytes;

/// Maximum size of the chunks that wait, in bytes. Beyond it they are handed on: no stream spreads a secret so far.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// Chunks that wait for the rest of a text. What is handed on has no secrets.
#[derive(Debug)]
pub struct HeldChunks {
    secrets: Arc<Secrets>,
    chunks: Vec<Vec<u8>>,
    bytes: usize,
    /// Lengths of the content and of the arguments that were handed on.
    handed_on: [usize; 2],
}

impl HeldChunks {
    pub const fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets,
            chunks: Vec::new(),
            bytes: 0,
            handed_on: [0; 2],
        }
    }

    /// Adds a chunk, with which the answer is `partial`. Returns the chunks that can be handed on.
    ///
    /// # Errors
    /// If a secret is spread over several chunks.
    pub fn push(
        &mut self,
        chunk: Vec<u8>,
        partial: &PartialAnswer,
    ) -> Result<Vec<Vec<u8>>, DecodeError> {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        let texts = [&partial.content, &partial.arguments];
        let mut is_begun = false;
        for (text, handed_on) in texts.into_iter().zip(self.handed_on) {
            let new = text.get(handed_on..).unwrap_or_default();
            for secret in self.secrets.hidden() {
                // One within a chunk is masked there.
                let is_whole =
                    |chunk: &Vec<u8>| memchr::memmem::find(chunk, secret.as_bytes()).is_some();
                if new.contains(secret) && !self.chunks.iter().any(is_whole) {
                    let reason = "the answer repeats a secret of the configuration";
                    return Err(DecodeError::Malformed(reason.to_owned()));
                }
                is_begun |= begun_bytes(new, secret) > 0;
            }
        }
        if is_begun && self.bytes <= MAX_HELD_BYTES {
            return Ok(Vec::new());
        }
        self.handed_on = texts.map(String::len);
        Ok(self.take())
    }

    /// Takes the chunks that wait.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        let chunks = std::mem::take(&mut self.chunks);
        let masked = chunks
            .into_iter()
            .map(|chunk| self.secrets.mask_message(chunk));
        masked.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-secret-0123456789";

    /// Pushes chunks with these texts. Returns how many chunks can be handed on after each.
    fn pushed(texts: &[&str]) -> Result<Vec<usize>, DecodeError> {
        let secrets = Secrets::default().with_keys(vec![KEY.into()], vec![]);
        let mut held = HeldChunks::new(secrets.into());
        let mut partial = PartialAnswer::default();
        let push = |text: &&str| {
            partial.content.push_str(text);
            let chunks = held.push(text.as_bytes().to_vec(), &partial);
            chunks.map(|chunks| chunks.len())
        };
        texts.iter().map(push).collect()
    }

    #[test]
    fn chunks_wait_while_they_may_begin_a_secret() {
        assert_eq!(pushed(&["a", "b", "c"]), Ok(vec![1, 1, 1]));
        assert_eq!(pushed(&["as", "k-", "", "x"]), Ok(vec![0, 0, 0, 4]));
        // Within one chunk, it is masked there.
        assert_eq!(pushed(&["s", KEY, "x"]), Ok(vec![0, 2, 1]));
        let (start, end) = KEY.split_at(7);
        assert!(matches!(
            pushed(&["the key is ", start, "", end]),
            Err(DecodeError::Malformed(_))
        ));
        let long = "x".repeat(MAX_HELD_BYTES) + "s";
        assert_eq!(pushed(&[&long, "k"]), Ok(vec![1, 1]));
    }
}
