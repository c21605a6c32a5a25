"""What gets the tick's limited resources: sources' places, segments, and energy."""
