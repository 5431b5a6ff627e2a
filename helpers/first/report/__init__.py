"""What a lesson shows and leaves behind: results, figures, galleries, tables, checked exercises."""
