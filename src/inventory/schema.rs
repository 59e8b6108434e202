//! The JSON schema of an inventory, made from its types: what `deploy schema` prints and editors complete by.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::model::Inventory;

/// The schema (draft 2020-12) that every inventory is held to.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Inventory>();
    schema.insert("title".into(), "deploy inventory".into());
    schema.to_value()
}
