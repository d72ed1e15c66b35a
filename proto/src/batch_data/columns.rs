//! How single entries of a column are written and read.

use alloy_primitives::U256;

use super::BatchDataError;

/// Appends a number.
pub(super) fn put_number(column: &mut Vec<u8>, number: impl Into<u128>) {
    let mut rest: u128 = number.into();
    while rest >= 0x80 {
        column.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    column.push(rest as u8);
}

/// Appends a word.
pub(super) fn put_word(column: &mut Vec<u8>, word: U256) {
    let bytes = word.to_be_bytes::<32>();
    let significant = &bytes[32 - word.byte_len()..];
    column.push(significant.len() as u8);
    column.extend_from_slice(significant);
}

/// Takes entries off a body.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn bytes(&mut self, column: &'static str, count: usize) -> Result<&'a [u8], BatchDataError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(BatchDataError::Truncated { column })?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, column: &'static str) -> Result<[u8; N], BatchDataError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(BatchDataError::Truncated { column })?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self, column: &'static str) -> Result<u8, BatchDataError> {
        self.array(column).map(|[byte]| byte)
    }

    pub(super) fn number_u128(&mut self, column: &'static str) -> Result<u128, BatchDataError> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte(column)?;
            let group = u128::from(byte & 0x7f);
            // The last group of a 128-bit number has two bits.
            if shift > 121 && group >> (128 - shift) != 0 {
                return Err(BatchDataError::NumberTooLarge { column });
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BatchDataError::NumberTooLarge { column })
    }

    pub(super) fn number_u64(&mut self, column: &'static str) -> Result<u64, BatchDataError> {
        u64::try_from(self.number_u128(column)?).map_err(|_| BatchDataError::NumberTooLarge { column })
    }

    pub(super) fn word(&mut self, column: &'static str) -> Result<U256, BatchDataError> {
        let length = self.byte(column)?;
        if length > 32 {
            return Err(BatchDataError::BadByte { column, got: length });
        }
        let bytes = self.bytes(column, usize::from(length))?;
        U256::try_from_be_slice(bytes).ok_or(BatchDataError::NumberTooLarge { column })
    }

    /// Reads how many entries follow, each of at least `entry_bytes_min` bytes.
    pub(super) fn count(&mut self, column: &'static str, entry_bytes_min: usize) -> Result<usize, BatchDataError> {
        let count = usize::try_from(self.number_u64(column)?).map_err(|_| BatchDataError::Truncated { column })?;
        self.expect_left(column, count, entry_bytes_min)?;
        Ok(count)
    }

    /// Refuses a count of entries that what is left cannot hold, before anything is allocated for them.
    pub(super) const fn expect_left(
        &self,
        column: &'static str,
        count: usize,
        entry_bytes_min: usize,
    ) -> Result<(), BatchDataError> {
        match count > self.rest.len() / entry_bytes_min {
            true => Err(BatchDataError::Truncated { column }),
            false => Ok(()),
        }
    }

    /// Ends reading: nothing may be left.
    pub(super) const fn finish(self) -> Result<(), BatchDataError> {
        match self.rest.len() {
            0 => Ok(()),
            got => Err(BatchDataError::TrailingBytes { got }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_come_back() {
        let mut column = Vec::new();
        let numbers = [0, 1, 127, 128, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX - 1, u128::MAX];
        for number in numbers {
            put_number(&mut column, number);
        }
        let mut reader = Reader::new(&column);
        for number in numbers {
            assert_eq!(reader.number_u128("x"), Ok(number));
        }
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_number_above_its_type_is_refused() {
        let too_large = Err(BatchDataError::NumberTooLarge { column: "x" });
        let mut above_u64 = Vec::new();
        put_number(&mut above_u64, 1_u128 << 64);
        assert_eq!(Reader::new(&above_u64).number_u64("x"), too_large);
        let too_large = Err(BatchDataError::NumberTooLarge { column: "x" });
        // 2^128: eighteen groups of zero, then bit 2 of the nineteenth.
        let mut above_u128 = [0x80; 19];
        above_u128[18] = 0x04;
        assert_eq!(Reader::new(&above_u128).number_u128("x"), too_large);
        assert_eq!(Reader::new(&[0x80; 30]).number_u128("x"), too_large);
        assert_eq!(Reader::new(&[0x80; 3]).number_u128("x"), Err(BatchDataError::Truncated { column: "x" }));
    }

    #[test]
    fn words_of_every_size_come_back() {
        let mut column = Vec::new();
        let words = [U256::ZERO, U256::from(1), U256::from(256), U256::MAX];
        for word in words {
            put_word(&mut column, word);
        }
        assert_eq!(column.len(), 1 + 2 + 3 + 33);
        let mut reader = Reader::new(&column);
        for word in words {
            assert_eq!(reader.word("x"), Ok(word));
        }
        assert_eq!(Reader::new(&[33; 40]).word("x"), Err(BatchDataError::BadByte { column: "x", got: 33 }));
    }

    #[test]
    fn a_count_that_the_rest_cannot_hold_is_refused() {
        assert_eq!(Reader::new(&[2, 0, 0, 0, 0]).count("x", 2), Ok(2));
        assert_eq!(Reader::new(&[3, 0, 0, 0, 0]).count("x", 2), Err(BatchDataError::Truncated { column: "x" }));
    }
}
