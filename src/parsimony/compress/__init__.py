"""Store fewer, smaller: grids and code books, sizes counted from files, folders that reload."""
