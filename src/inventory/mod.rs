//! From an inventory file to a validated [`Inventory`], or to all its errors with their places.
//!
//! Text → document with places → held against the schema of the types → typed → rules across fields. Only
//! [`load()`] touches the file system.

mod document;
pub mod known_roles;
pub mod load;
pub mod model;
pub mod parameters;
pub mod placement;
pub mod places;
pub mod problem;
mod rules;
pub mod schema;
mod shape;
mod wording;

pub use known_roles::KnownRoles;
pub use load::{InventoryError, Loaded, file, folder, load, load_text, parse, parse_with};
pub use model::{Inventory, Ssh};
pub use placement::{REDIS, redis_port, wanted};
pub use places::{Place, Places};
pub use problem::{Problem, Problems};
pub use rules::{check_memory, check_release, check_secrets, placed};
pub use schema::schema;
pub use wording::{closest, counted, quoted};
