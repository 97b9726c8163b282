//! What a build says while it runs. The library only calls this trait; how it looks is the program's business.

/// Receives the progress of long work. All methods may be called often; they must be quick and must not fail.
pub trait Progress {
    /// A new step has begun.
    fn step(&self, text: &str);
    /// A line that cargo wrote, already made harmless.
    fn tool(&self, line: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str) {}
    fn tool(&self, _: &str) {}
}
