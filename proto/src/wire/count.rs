//! Counts repeated parts on the encoded bytes, before anything is allocated for them.
//!
//! An empty entry costs two bytes on the wire and many times that in memory, so a bound on a message's length alone would
//! let a peer make us allocate sixteen times what it sends.

use super::WireError;

const LENGTH_DELIMITED: u64 = 2;

/// Refuses `message` if the field that `path` leads to occurs more than `max` times.
///
/// `path` holds field numbers from the outermost message inwards; all but the last are embedded messages. Entries are
/// counted over all occurrences of each.
pub(super) fn at_most(what: &'static str, message: &[u8], path: &[u64], max: usize) -> Result<(), WireError> {
    let got = occurrences(what, message, path)?;
    if got > max {
        return Err(WireError::TooMany { what, got, max });
    }
    Ok(())
}

/// Returns how often the field that `path` leads to occurs.
pub(super) fn occurrences(what: &'static str, message: &[u8], path: &[u64]) -> Result<usize, WireError> {
    let Some((&wanted, inner)) = path.split_first() else { return Ok(1) };
    let mut count = 0_usize;
    let mut rest = message;
    while let Some(field) = next_field(what, &mut rest)? {
        if field.number == wanted
            && let Some(embedded) = field.bytes
        {
            count = count.saturating_add(occurrences(what, embedded, inner)?);
        }
    }
    Ok(count)
}

struct Field<'a> {
    number: u64,
    /// Only of a length-delimited field.
    bytes: Option<&'a [u8]>,
}

/// Takes one field off `rest`.
fn next_field<'a>(what: &'static str, rest: &mut &'a [u8]) -> Result<Option<Field<'a>>, WireError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let truncated = WireError::Truncated { what };
    let key = varint(rest).ok_or(truncated.clone())?;
    let (length, delimited) = match key & 7 {
        0 => {
            varint(rest).ok_or(truncated)?;
            return Ok(Some(Field { number: key >> 3, bytes: None }));
        }
        1 => (8, false),
        LENGTH_DELIMITED => {
            let length = varint(rest).and_then(|length| usize::try_from(length).ok()).ok_or(truncated.clone())?;
            (length, true)
        }
        5 => (4, false),
        // Groups: proto3 has none.
        _ => return Err(truncated),
    };
    let (bytes, after) = rest.split_at_checked(length).ok_or(truncated)?;
    *rest = after;
    Ok(Some(Field { number: key >> 3, bytes: delimited.then_some(bytes) }))
}

/// Takes a base-128 number of at most ten bytes off `rest`.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_through_the_path() {
        // Field 1 (embedded: field 2 three times), field 3 (a number), field 1 again (field 2 once).
        let message = [0x0a, 0x06, 0x12, 0x00, 0x12, 0x00, 0x12, 0x00, 0x18, 0x96, 0x01, 0x0a, 0x02, 0x12, 0x00];
        assert_eq!(at_most("x", &message, &[1, 2], 4), Ok(()));
        assert_eq!(at_most("x", &message, &[1, 2], 3), Err(WireError::TooMany { what: "x", got: 4, max: 3 }));
        assert_eq!(at_most("x", &message, &[7], 0), Ok(()));
    }

    #[test]
    fn broken_bytes_are_named() {
        for message in [&[0x0a][..], &[0x0a, 0x05, 0x00], &[0x0b], &[0xff; 12], &[0x09, 0, 0], &[0x08]] {
            assert_eq!(at_most("x", message, &[1], 9), Err(WireError::Truncated { what: "x" }), "{message:?}");
        }
    }
}
