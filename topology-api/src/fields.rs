//! The row codec of every type that a field of a tuple can have by itself.

use crate::codec::{
    DecodeError, FieldCodec, decode_length, decode_str, encode_length, length_weight, take,
    take_array,
};
use crate::key::{Key, KeyHasher};
use crate::text::Text;
use crate::value::Value;

/// The way of types that are keys: no detour through a [`Value`].
macro_rules! hash_as_key {
    () => {
        #[inline]
        fn hash_value(&self, hasher: &mut KeyHasher) {
            self.hash_key(hasher);
        }
    };
}

macro_rules! field_of_number {
    ($($number:tt as $wire:ty),*) => {$(
        impl FieldCodec for $number {
            const BYTES_MIN: usize = size_of::<$wire>();

            #[inline]
            fn weight(&self) -> usize {
                size_of::<$wire>()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&(*self as $wire).to_le_bytes());
            }

            #[inline(always)]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Self::try_from(<$wire>::from_le_bytes(take_array(input)?))
                    .map_err(|_| DecodeError::new("a number is too large for this machine"))
            }

            fn type_name() -> String {
                stringify!($number).to_owned()
            }

            fn value(&self) -> Value {
                Value::from(*self)
            }

            #[inline]
            fn list_weight(items: &[Self]) -> usize {
                items.len() * Self::BYTES_MIN
            }

            field_of_number!(@special $number);
        }
    )*};
    (@special f32) => {};
    (@special f64) => {};
    (@special u8) => {
        hash_as_key!();

        fn list_type_name() -> String {
            "bytes".to_owned()
        }

        #[inline]
        fn encode_items(items: &[Self], out: &mut Vec<u8>) {
            out.extend_from_slice(items);
        }

        #[inline]
        fn decode_items(count: usize, input: &mut &[u8]) -> Result<Vec<Self>, DecodeError> {
            take(count, input).map(<[u8]>::to_vec)
        }

        fn list_value(items: &[Self]) -> Value {
            Value::Bytes(items.to_vec())
        }

        #[inline]
        fn hash_list(items: &[Self], hasher: &mut KeyHasher) {
            items.hash_key(hasher);
        }
    };
    (@special $number:tt) => {
        hash_as_key!();
    };
}

field_of_number!(u8 as u8, u16 as u16, u32 as u32, u64 as u64, usize as u64);
field_of_number!(i8 as i8, i16 as i16, i32 as i32, i64 as i64, isize as i64);
field_of_number!(f32 as f32, f64 as f64);

impl FieldCodec for bool {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn weight(&self) -> usize {
        1
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        match take_array(input)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(DecodeError::new("a boolean is neither 0 nor 1")),
        }
    }

    fn type_name() -> String {
        "bool".to_owned()
    }

    fn value(&self) -> Value {
        Value::Bool(*self)
    }

    hash_as_key!();
}

impl FieldCodec for char {
    const BYTES_MIN: usize = 4;

    #[inline]
    fn weight(&self) -> usize {
        4
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Self::try_from(u32::decode(input)?).map_err(|_| DecodeError::new("a letter is none"))
    }

    fn type_name() -> String {
        "char".to_owned()
    }

    fn value(&self) -> Value {
        Value::Text(Text::from(*self))
    }

    hash_as_key!();
}

macro_rules! field_of_text {
    ($($text:ty: $encode:expr, $decode:expr;)*) => {$(
        impl FieldCodec for $text {
            const BYTES_MIN: usize = 1;

            #[inline]
            fn weight(&self) -> usize {
                length_weight(self.len()) + self.len()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                encode_length(self.len(), out);
                $encode(self, out);
            }

            // Not called: a text that comes back in memory is read again in other pieces.
            #[inline(always)]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                $decode(input)
            }

            fn type_name() -> String {
                "text".to_owned()
            }

            fn value(&self) -> Value {
                Value::from(self.as_str())
            }

            hash_as_key!();
        }
    )*};
}
field_of_text!(
    String:
        |text: &String, out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes()),
        |input: &mut &[u8]| decode_str(input).map(Self::from);
    Text:
        Text::append_to,
        |input: &mut &[u8]| Text::take(decode_length(1, input)?, input);
);

impl<T: FieldCodec> FieldCodec for Option<T> {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn weight(&self) -> usize {
        1 + self.as_ref().map_or(0, T::weight)
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(out);
        }
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        if bool::decode(input)? { T::decode(input).map(Some) } else { Ok(None) }
    }

    fn type_name() -> String {
        format!("optional {}", T::type_name())
    }

    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::value)
    }

    #[inline]
    fn hash_value(&self, hasher: &mut KeyHasher) {
        match self {
            Some(value) => value.hash_value(hasher),
            None => hasher.part(&[]),
        }
    }
}

impl<T: FieldCodec> FieldCodec for Vec<T> {
    const BYTES_MIN: usize = 1;

    #[inline]
    fn weight(&self) -> usize {
        length_weight(self.len()) + T::list_weight(self)
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        T::encode_items(self, out);
    }

    #[inline]
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let count = decode_length(T::BYTES_MIN, input)?;
        T::decode_items(count, input)
    }

    fn type_name() -> String {
        T::list_type_name()
    }

    fn value(&self) -> Value {
        T::list_value(self)
    }

    #[inline]
    fn hash_value(&self, hasher: &mut KeyHasher) {
        T::hash_list(self, hasher);
    }
}

/// A tuple of Rust is its parts, one after the other.
macro_rules! field_of_parts {
    ($($part:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<$($part: FieldCodec),*> FieldCodec for ($($part,)*) {
            const BYTES_MIN: usize = 0 $(+ $part::BYTES_MIN)*;

            #[inline]
            #[expect(non_snake_case, reason = "the type parameters name the parts")]
            fn weight(&self) -> usize {
                let ($($part,)*) = self;
                0 $(+ $part.weight())*
            }

            #[inline]
            #[expect(non_snake_case, reason = "the type parameters name the parts")]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($part,)*) = self;
                $($part.encode(out);)*
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(($($part::decode(input)?,)*))
            }

            fn type_name() -> String {
                format!("({})", [$($part::type_name()),*].join(", "))
            }

            #[expect(non_snake_case, reason = "the type parameters name the parts")]
            fn value(&self) -> Value {
                let ($($part,)*) = self;
                Value::List(vec![$($part.value()),*])
            }

            #[inline]
            #[expect(non_snake_case, reason = "the type parameters name the parts")]
            fn hash_value(&self, hasher: &mut KeyHasher) {
                let ($($part,)*) = self;
                $($part.hash_value(hasher);)*
            }
        }
    };
}
field_of_parts!(A B);
field_of_parts!(A B C);
field_of_parts!(A B C D);
