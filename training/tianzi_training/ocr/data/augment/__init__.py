"""From one clean drawing to what a camera, a scanner or wear makes of it."""
