"""What people read of an installation: one function a subject, for pages, JSON API and command line alike."""
