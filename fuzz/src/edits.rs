//! Something good with a few bytes changed.

/// More changes leave nothing of it.
const MOST: usize = 64;

/// Applies edits of four bytes each: which kind, where (two bytes), with what.
pub fn edited(original: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for edit in edits.chunks_exact(4).take(MOST) {
        let [kind, high, low, byte] = *edit else { continue };
        let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}
