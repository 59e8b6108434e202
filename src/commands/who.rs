//! Who runs this: for locks, journals and saved plans.

/// `user@host`, in one word.
pub fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim()).chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}
