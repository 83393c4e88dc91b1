"""Speed and accuracy of the training model beside other published tools, measured in one run (`make bench`)."""
