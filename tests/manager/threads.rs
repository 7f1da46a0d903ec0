//! Many managers and threads over one repository.
