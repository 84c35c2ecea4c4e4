"""The report's page, the gallery, the cards of shipped models and the table of the README, all from the register of measures."""
