//! The system's allocator, with every change of what is held told to a function.

use std::alloc::{GlobalAlloc, Layout, System};

/// Tells `count` how many bytes more (or fewer) are held, on the thread that took them.
pub(crate) struct Counting {
    pub(crate) count: fn(isize),
}

// SAFETY: everything is passed on to the system's allocator as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        (self.count)(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        (self.count)(-(layout.size() as isize));
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        (self.count)(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        (self.count)(len as isize - layout.size() as isize);
        unsafe { System.realloc(place, layout, len) }
    }
}
