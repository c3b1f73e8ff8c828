//! The descriptors of the contract as a table of message types and fields, with an estimate of what each takes when it is decoded.
//!
//! The table is made of the descriptors alone, so a method or a field that is added later is in it.

use std::collections::HashMap;

use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MessageOptions,
    field_descriptor_proto::{Label, Type},
};

/// The size of a list, of a map and of a text, in bytes, without what they hold.
const CONTAINER: u64 = 48;

/// The size of anything that is no message, text or list, in bytes.
const SCALAR: u64 = 8;

/// The message types of the contract.
#[derive(Debug)]
pub(crate) struct Shapes {
    pub(super) types: Vec<Shape>,
    /// The type that each method takes, by path.
    pub(super) inputs: HashMap<String, usize>,
}

/// A message type.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its full name, without a leading dot.
    pub(super) name: String,
    /// What one takes in memory, in bytes: an estimate that is rather too high.
    pub(super) size: u64,
    /// Its fields by number.
    pub(super) fields: HashMap<u32, Field>,
}

/// A field of a message type.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) repeated: bool,
    pub(super) holds: Holds,
    /// A member of a `oneof` shares its memory with the others.
    oneof: Option<i32>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    /// A message of this type.
    Message(usize),
    /// An entry of a map: a message of this type.
    Entry(usize),
    /// A text, or bytes.
    Text,
    /// A number, or an enum.
    Scalar,
}

impl Shapes {
    /// The types and methods of a descriptor set.
    ///
    /// # Errors
    /// If the set cannot be decoded.
    pub(crate) fn of(descriptor_set: &[u8]) -> Result<Self, DecodeError> {
        let set = FileDescriptorSet::decode(descriptor_set)?;
        let mut found = Vec::new();
        for file in &set.file {
            for message in &file.message_type {
                collect(file.package(), message, &mut found);
            }
        }
        let numbers: HashMap<_, _> = found.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let is_entry = |at: usize| {
            found.get(at).is_some_and(|(_, message)| message.options.as_ref().is_some_and(MessageOptions::map_entry))
        };
        let types = found.iter().map(|(name, message)| {
            let fields =
                message.field.iter().map(|field| (field.number().cast_unsigned(), fields(field, &numbers, is_entry)));
            Shape { name: name.clone(), size: 0, fields: fields.collect() }
        });
        let mut shapes = Self { types: types.collect(), inputs: HashMap::new() };
        for at in 0..shapes.types.len() {
            let size = shapes.size(at, &mut Vec::new());
            if let Some(shape) = shapes.types.get_mut(at) {
                shape.size = size;
            }
        }
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let input = numbers.get(method.input_type().trim_start_matches('.'));
                    shapes.inputs.extend(input.map(|input| (path, *input)));
                }
            }
        }
        Ok(shapes)
    }

    /// The sum over the fields. A type within itself is behind a pointer.
    fn size(&self, at: usize, within: &mut Vec<usize>) -> u64 {
        let Some(shape) = self.types.get(at).filter(|_| !within.contains(&at)) else { return SCALAR };
        within.push(at);
        let mut oneofs: HashMap<i32, u64> = HashMap::new();
        let mut sum = SCALAR;
        for field in shape.fields.values() {
            let size = match field.holds {
                _ if field.repeated => CONTAINER,
                Holds::Message(inner) | Holds::Entry(inner) => self.size(inner, within),
                Holds::Text => CONTAINER,
                Holds::Scalar => 2 * SCALAR,
            };
            match field.oneof {
                Some(number) => {
                    let largest = oneofs.entry(number).or_default();
                    *largest = size.max(*largest);
                }
                None => sum += size,
            }
        }
        within.pop();
        sum + oneofs.values().map(|largest| largest + SCALAR).sum::<u64>()
    }
}

/// A message and those declared in it, each with its full name.
fn collect<'a>(scope: &str, message: &'a DescriptorProto, found: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, found);
    }
    found.push((name, message));
}

fn fields(field: &FieldDescriptorProto, numbers: &HashMap<String, usize>, is_entry: impl Fn(usize) -> bool) -> Field {
    let holds = match (field.r#type(), numbers.get(field.type_name().trim_start_matches('.'))) {
        (Type::Message, Some(inner)) if is_entry(*inner) => Holds::Entry(*inner),
        (Type::Message, Some(inner)) => Holds::Message(*inner),
        (Type::String | Type::Bytes, _) => Holds::Text,
        _ => Holds::Scalar,
    };
    Field { name: field.name().to_owned(), repeated: field.label() == Label::Repeated, holds, oneof: field.oneof_index }
}
