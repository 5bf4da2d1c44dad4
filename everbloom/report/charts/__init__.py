"""Pictures as inline SVG: drawn here, coloured by the page, readable without a script."""
